"""Finds the points of a model's load curve: where they lie on the path of data, and their axes."""
