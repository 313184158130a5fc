"""Runs followed from threads: their records, their status, what they use of the machine."""
