"""The alerts that were fired under a home, so that of several open apps that see the same event only one rings.

Events are compared by the times of the run's own records, the same in all apps: the newest record known when a
rule last did not hold, and the newest one known when it fired. An alert repeats an earlier one unless the rule
did not hold at some time after that. A file lock lets one app decide at a time. Where the home cannot be
written, as under another person's, every app fires by itself.
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
"""Entries that are kept, the newest; each rule of each run has one."""
_LIMIT = 1 << 20
_PATIENCE = 2.0


class AlertLedger:
    """The file ``alerts.json`` under a home. Every call touches the disk: call it from a thread."""

    def __init__(self, home: Path) -> None:
        self._path = home / "alerts.json"
        self._lock = home / "alerts.lock"

    def claim(self, alerts: Sequence[Alert]) -> list[Alert]:
        """Those of these alerts that no app has fired yet; they are recorded as fired by this one."""
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
                known.pop(name, None)  # so that it is added at the end: the newest entries stand last
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
    """The run's id and a hash of the rule, which does not depend on the order of a person's rules."""
    import hashlib  # loads OpenSSL, and few alerts are ever claimed

    rule = hashlib.blake2b(msgspec.json.encode(alert.rule), digest_size=8).hexdigest()
    return f"{alert.run} {rule}"
