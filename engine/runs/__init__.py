"""Run directories: records, locks, status, control files, workers' launch."""
