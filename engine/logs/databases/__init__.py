"""MLflow and trackio: runs in SQLite databases, and MLflow's folder of files."""
