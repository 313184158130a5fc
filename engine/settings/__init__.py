"""What may be asked of a run: names, ranges, defaults and descriptions."""
