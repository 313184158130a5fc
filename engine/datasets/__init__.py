"""Data sets: where samples and labels come from."""
