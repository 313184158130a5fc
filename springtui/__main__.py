"""``python -m springtui``."""

import sys

from .cli import main

sys.exit(main())
