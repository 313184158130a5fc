"""What this process uses of its machine, measured beside each load curve."""

from __future__ import annotations

import time

import psutil
import torch

from ..runs.records import Gpu, Usage


class ProcessUsage:
    """Measures this process: its processor time since the last measurement, its memory, and its CUDA tensors.

    Nothing waits for a device.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._clock, self._used = time.monotonic(), time.process_time()
        self._names: dict[int, str] = {}

    def measure(self, step: int) -> Usage:
        """The use now; ``cpu`` is the average since the last call, or since this object was made."""
        clock, used = time.monotonic(), time.process_time()
        passed = clock - self._clock
        cpu = (used - self._used) / passed if passed > 0 else None
        self._clock, self._used = clock, used
        return Usage(step=step, cpu=cpu, memory=self._resident(), gpus=self._gpus())

    def _resident(self) -> int | None:
        try:
            return int(self._process.memory_info().rss)
        except psutil.Error:
            return None

    def _gpus(self) -> list[Gpu]:
        """The CUDA devices on which this process holds memory; none where it never used CUDA."""
        if not torch.cuda.is_available() or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            return []
        found = []
        for index in range(torch.cuda.device_count()):
            if reserved := torch.cuda.memory_reserved(index):
                if index not in self._names:
                    self._names[index] = torch.cuda.get_device_name(index)
                allocated = torch.cuda.memory_allocated(index)
                found.append(Gpu(index=index, name=self._names[index], memory=allocated, reserved=reserved))
        return found
