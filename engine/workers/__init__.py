"""Worker processes, which fill run directories."""
