"""A whole run, from settings to the results file."""
