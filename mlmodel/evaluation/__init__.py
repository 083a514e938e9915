"""How good a version is: measures with their uncertainty, calibration, operating point, comparison, model card."""
