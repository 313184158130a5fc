"""springtui: a terminal laboratory for the spring–block theory of feature learning.

Importing this package is cheap and pulls in neither the app nor torch.
"""
