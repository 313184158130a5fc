"""The engine's modules under a private name, for a user's own script.

Where a script has a file ``engine.py`` beside it, ``import engine`` imports that file. Engine modules import one
another relatively, so they work under any name: this package's modules are the files of the ``engine`` folder
beside ``springtui``. The app is not imported.
"""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[2] / "engine")]

from .version import __version__ as __version__  # of the folder above
