"""Measurements: each script writes its result as JSON into results/, and `table` makes one table of them."""
