"""Keeps a model as it is while it is looked at: modes, random numbers, buffers, attributes, memory."""
