"""Numerics and processes of springtui. Knows nothing of the app: no textual, rich or springtui here.

Importing this package is cheap; modules that need torch or scikit-learn are imported by name, and only
by worker processes and headless commands.
"""

from .version import __version__ as __version__
