"""Measures of a layer's activations and of a load curve."""
