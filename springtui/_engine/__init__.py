"""The engine's modules under a private name, for a user's own script.

A script may stand beside a file named ``engine.py``, which then is what ``import engine`` means there. Engine
modules import one another relatively, so they work under any name: this package's modules are the files of the
``engine`` folder that was installed, or checked out, beside ``springtui``. Nothing of the app is loaded.
"""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[2] / "engine")]

from .version import __version__ as __version__  # found by the line above
