"""The version, where every name of the package finds it; see also ``springtui._engine``."""

__version__ = "0.2.0"
