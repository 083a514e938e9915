"""How dates and times are written where a page says nothing else."""
