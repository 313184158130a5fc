"""Contents of tensors' memory at one moment, compared and put back byte by byte.

Two tensors that are views of one memory are one content, so shared buffers and views stay shared. Comparing bytes
tells NaN from NaN and 0 from -0, whatever the type of the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

_SAMPLE = 1 << 16
"""Bytes that are compared of a content of which no copy is kept; a smaller one is compared whole."""


@dataclass
class Content:
    """The memory of one or several tensors."""

    storage: torch.UntypedStorage
    size: int
    """Bytes at the time of the copy."""
    tensors: list[tuple[str, Tensor, int]] = field(default_factory=list)
    """Names, tensors and the number of each tensor's in-place changes at that time."""
    copy: Tensor | None = None
    """All bytes, [size]; None where only a sample is known."""
    sample: Tensor | None = None

    @property
    def names(self) -> list[str]:
        """Names of the tensors, without repeats."""
        return list(dict.fromkeys(name for name, _, _ in self.tensors))

    def bytes(self) -> Tensor:
        """The memory now as a tensor of bytes, [bytes], without a copy."""
        return torch.empty(0, dtype=torch.uint8, device=self.storage.device).set_(self.storage)

    def sampled(self) -> Tensor:
        """Some bytes of it now, [bytes], at equal odd distances, so that each byte of a number has its turn."""
        return self.bytes()[: self.size : max(1, self.size // _SAMPLE) | 1]

    def save(self) -> None:
        """Keep a copy of all bytes, where there is none."""
        if self.copy is None:
            self.copy = self.bytes()[: self.size].clone()

    def has_changed(self) -> bool:
        """Whether a byte is another than at the time of the copy; by a sample and counts where there is none."""
        if self.storage.nbytes() < self.size:
            return True
        if self.copy is not None:
            return not torch.equal(self.bytes()[: self.size], self.copy)
        if any(change_count(tensor) != count for _, tensor, count in self.tensors):
            return True
        return self.sample is not None and not torch.equal(self.sampled(), self.sample)

    def put_back(self) -> None:
        """Write the copy into the memory.

        Raises:
            RuntimeError: there is no copy.
        """
        if self.copy is None:
            raise RuntimeError("being large it was not copied before; in later looks it is")
        if self.storage.nbytes() < self.size:
            self.storage.resize_(self.size)
        self.bytes()[: self.size].copy_(self.copy)


class Contents:
    """Contents of many tensors: copies of small ones, and of others a sample, or a copy once a write is due."""

    def __init__(self) -> None:
        self._by_storage: dict[int, Content] = {}
        self._whole: set[int] = set()

    def add(self, name: str, tensor: Tensor, whole: Callable[[int], bool]) -> None:
        """Take in a tensor of any shape; its memory is copied whole if ``whole(bytes)`` says so of one there."""
        storage = storage_of(tensor)
        if storage is None or not storage.nbytes():
            return
        key = storage.data_ptr()
        content = self._by_storage.setdefault(key, Content(storage, storage.nbytes()))
        content.tensors.append((name, tensor, change_count(tensor)))
        if whole(content.size):
            self._whole.add(key)

    def save(self) -> None:
        """Copy the small contents and the samples of the others; many at once, since each copy takes its time."""
        for whole in (True, False):
            for contents in self._by_device(key for key in self._by_storage if (key in self._whole) == whole):
                together = torch.cat([content.bytes() if whole else content.sampled() for content in contents])
                start = 0
                for content in contents:
                    length = content.size if whole else len(content.sampled())
                    part = together[start : start + length]
                    content.copy, content.sample = (part, None) if whole else (None, part)
                    start += length

    def before_write(self, tensor: Tensor) -> None:
        """Copy the content of a tensor of any shape before an operation writes to it, if it is one of these."""
        storage = storage_of(tensor)
        if storage is not None and (content := self._by_storage.get(storage.data_ptr())) is not None:
            content.save()

    def has_uncopied(self) -> bool:
        """Whether some content has no copy yet."""
        return any(content.copy is None for content in self._by_storage.values())

    def changed(self) -> Iterator[Content]:
        """The contents that have changed."""
        return (content for content in self._by_storage.values() if content.has_changed())

    def _by_device(self, keys: Iterable[int]) -> Iterator[list[Content]]:
        """The contents of these keys, device by device."""
        devices: dict[torch.device, list[Content]] = {}
        for content in (self._by_storage[key] for key in keys):
            devices.setdefault(content.storage.device, []).append(content)
        yield from devices.values()


def storage_of(tensor: Tensor) -> torch.UntypedStorage | None:
    """The memory of a tensor of any shape; None where it has none of its own (sparse, wrapped, meta tensors)."""
    if tensor.device.type == "meta" or tensor.layout is not torch.strided or torch.nn.parameter.is_lazy(tensor):
        return None
    try:
        storage = tensor.untyped_storage()
        storage.data_ptr()
    except (NotImplementedError, RuntimeError):  # subclasses that wrap other tensors
        return None
    return storage


def change_count(tensor: Tensor) -> int:
    """Number of in-place changes of a tensor of any shape, as PyTorch counts them; 0 for inference tensors."""
    return 0 if tensor.is_inference() else tensor._version
