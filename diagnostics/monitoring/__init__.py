"""What Prometheus is told: counters of this process (`instruments`), and figures read from the rows (`collector`)."""
