"""Measuring the processor, memory and GPU that a run's worker and this machine use, about once a second."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from typing import Any

import psutil

_MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    """One measurement; None is unknown.

    Processor as a fraction of one core (worker) or of all cores (machine), GPU of the whole; memory in MiB.
    """

    worker_cpu: float | None
    worker_memory: float | None
    machine_cpu: float
    machine_memory: float
    machine_memory_total: float
    gpu: float | None = None
    gpu_memory: float | None = None
    gpu_memory_total: float | None = None
    worker_gpu_memory: float | None = None


class Usage:
    """Measures one worker on this host and the machine."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None
        self._nvml: Any = None
        self.gpu_note = ""
        """Why no GPU is shown; empty where one is."""
        self._open_nvml()
        psutil.cpu_percent()

    def sample(self, pid: int | None) -> Sample:
        """The present use; of the worker only where it lives."""
        cpu = memory = None
        if pid is not None:
            with contextlib.suppress(psutil.Error, ValueError, OverflowError):
                if self._process is None or self._process.pid != pid:
                    self._process = psutil.Process(pid)
                    self._process.cpu_percent()
                cpu = self._process.cpu_percent() / 100
                memory = self._process.memory_info().rss / _MIB
        whole = psutil.virtual_memory()
        used = (whole.total - whole.available) / _MIB
        return Sample(cpu, memory, psutil.cpu_percent() / 100, used, whole.total / _MIB, **self._gpu(pid))

    def _open_nvml(self) -> None:
        """NVML where it is installed (the extra ``gpu``) and finds a driver."""
        try:
            self._nvml = importlib.import_module("pynvml")
            self._nvml.nvmlInit()
            if not self._nvml.nvmlDeviceGetCount():
                self._nvml, self.gpu_note = None, "none here"
        except ImportError:
            self.gpu_note = "not measured: springtui[gpu] is not installed"
        except Exception:  # NVML's own errors derive from Exception, and the module may be absent
            self._nvml, self.gpu_note = None, "no NVIDIA driver here"

    def _gpu(self, pid: int | None) -> dict[str, float | None]:
        if self._nvml is None:
            return {}
        try:
            handle = self._nvml.nvmlDeviceGetHandleByIndex(0)
            rates, memory = (
                self._nvml.nvmlDeviceGetUtilizationRates(handle),
                self._nvml.nvmlDeviceGetMemoryInfo(handle),
            )
            ours = [p for p in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle) if p.pid == pid]
        except Exception:  # NVML's own errors, as when a GPU is lost, must not end the screen
            self._nvml, self.gpu_note = None, "NVML answers no more"
            return {}
        return {
            "gpu": rates.gpu / 100,
            "gpu_memory": memory.used / _MIB,
            "gpu_memory_total": memory.total / _MIB,
            "worker_gpu_memory": (ours[0].usedGpuMemory or 0) / _MIB if ours else None,
        }
