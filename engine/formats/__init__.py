"""Log formats of other tools."""
