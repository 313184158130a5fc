"""The tags of one event file: a number for each, and what its values are, which only its first record tells."""

from __future__ import annotations

from array import array

UNKNOWN, SCALARS, LEFT_OUT, NOTABLE = 0, 1, 2, 3
"""Kinds of tags: no metadata yet, so that its tensors count where they are single numbers; scalars; a picture or a
histogram, say; a text or settings, each record of which is read in full."""
MOST_TAGS = 100_000
LONGEST_TAG = 1024
"""Bytes of a name."""
MOST_BYTES = 1 << 24
"""Bytes of all names."""
REFUSED = -1


class Tags:
    """Tags by number."""

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.kinds = array("b")
        """[tags]: the kind of each."""
        self._numbers: dict[bytes, int] = {}
        self._bytes = 0

    def number(self, name: bytes) -> int:
        """A tag's number, the next one for a tag that is new; ``REFUSED`` beyond what is kept."""
        found = self._numbers.get(name)
        if found is not None:
            return found
        if len(self.names) >= MOST_TAGS or len(name) > LONGEST_TAG or self._bytes >= MOST_BYTES:
            return REFUSED
        self._bytes += len(name)
        self._numbers[name] = number = len(self.names)
        self.names.append(name)
        self.kinds.append(UNKNOWN)
        return number
