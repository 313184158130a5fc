"""Settings of each kind of run: names, ranges, defaults and descriptions."""
