"""The processes that fill run directories."""
