"""What this terminal, machine and installation can do."""
