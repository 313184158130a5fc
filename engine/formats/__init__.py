"""Other tools' log formats."""
