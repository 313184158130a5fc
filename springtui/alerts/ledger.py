"""Which alerts were fired already under a home: two open apps see the same event, and one of them rings.

Each app tells by the records' own times what it is about: when a rule was last seen not to hold for a run, and the
newest record known when it held. An alert is the same event as one that was fired before, unless the rule was seen
not to hold after that. A lock that the kernel takes from the dead lets one app decide at a time. Where nothing can
be written there, as under another person's home, every app fires by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.errors import SpringtuiError
from engine.runs.files import read_file, replace_file
from engine.runs.lock import Lock

from .rules import Alert

MOST = 1000
"""Claims that are kept; each rule of each run has one."""
_LIMIT = 1 << 20
_PATIENCE = 2.0


class Claims:
    """``alerts.json`` under a home. Every call touches the disk: call it from a thread."""

    def __init__(self, home: Path) -> None:
        self._path = home / "alerts.json"
        self._lock = home / "alerts.lock"

    def claim(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Those of these alerts that nobody has fired; from now on nobody else will."""
        lock = Lock(self._lock)
        try:
            lock.acquire(_PATIENCE)
        except (SpringtuiError, OSError):
            return list(alerts)
        try:
            return self._claim(alerts)
        except OSError:
            return list(alerts)
        finally:
            lock.close()

    def _claim(self, alerts: Sequence[Alert]) -> list[Alert]:
        known, mine = self._read(), []
        for alert in alerts:
            name = _name(alert)
            if name not in known or known[name] < alert.clear:
                known.pop(name, None)  # the newest last
                known[name] = alert.heard
                mine.append(alert)
        if mine:
            replace_file(self._path, msgspec.json.encode(dict(list(known.items())[-MOST:])))
        return mine

    def _read(self) -> dict[str, float]:
        try:
            return msgspec.json.decode(read_file(self._path, _LIMIT), type=dict[str, float])
        except (SpringtuiError, msgspec.MsgspecError):
            return {}


def _name(alert: Alert) -> str:
    """The run and the rule, whatever its place among a person's rules."""
    import hashlib  # loads OpenSSL, and few alerts are ever claimed

    rule = hashlib.blake2b(msgspec.json.encode(alert.rule), digest_size=8).hexdigest()
    return f"{alert.run} {rule}"
