"""The doctor's checks of the machine: cores, memory, accelerators, and the home directory of runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from engine.cores import core_count
from engine.errors import HomeError
from engine.runs.listing import open_home

from .check import Check, State, ask

_GIB = 1 << 30
_VECTORS = ("avx512f", "avx2", "avx", "sse4_2", "asimd")
_THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")
_NETWORKED = ("nfs", "cifs", "smb", "lustre", "gpfs", "ceph", "beegfs", "fuse.sshfs", "afs", "9p", "glusterfs")


def look_at_machine() -> Iterator[Check]:
    """Checks of cores, vector instructions, threads, memory and accelerators."""
    yield _cores()
    yield _vectors()
    given = [f"{name}={os.environ[name]}" for name in _THREADS if name in os.environ]
    yield Check("threads", "ok", ", ".join(given) if given else "as many as cores; sweeps take one network a core")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    limit = min(total, _cgroup_memory())
    small = limit < 2
    yield Check("memory", "warn" if small else "ok", f"{limit:.1f} GiB", "torch wants 2 GiB" if small else "")
    yield from accelerators()


def _cores() -> Check:
    count = core_count()
    quota = _cgroup_cores()
    detail = f"{count}" if quota is None or quota >= count else f"{count}, of which this group may use {quota:.3g}"
    few = min(count, quota or count) < 2
    return Check("cores", "warn" if few else "ok", detail, "a second core keeps the screen fluid" if few else "")


def _cgroup_cores() -> float | None:
    """The cgroup's limit of processor time, in cores; None where there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()[:2]
        return int(quota) / int(period)
    return None


def _cgroup_memory() -> float:
    with contextlib.suppress(OSError, ValueError):
        return int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")) / _GIB
    return float("inf")


def _vectors() -> Check:
    flags = _cpu_flags()
    if not flags:
        return Check("vectors", "ok", f"{platform.machine()}; instruction sets not known")
    best = next((name for name in _VECTORS if name in flags), "none of AVX")
    slow = best in {"avx", "sse4_2", "none of AVX"}
    remedy = "chains and networks run several times slower here" if slow else ""
    return Check("vectors", "warn" if slow else "ok", f"{platform.machine()}, {best.upper()}", remedy)


def _cpu_flags() -> set[str]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            name, _, words = line.partition(":")
            if name.strip() in {"flags", "Features"}:
                return set(words.split())
    return {"asimd"} if platform.machine() == "arm64" else set()


def accelerators() -> Iterator[Check]:
    """A check that names NVIDIA GPUs, found by NVML or else nvidia-smi, without importing torch."""
    gpus = _by_nvml()
    if gpus is None:
        listed = ask("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
        gpus = [" ".join(line.split()) for line in listed.splitlines()]
    if gpus:
        yield Check("gpu", "ok", "; ".join(gpus), "use it: springtui train --set device=auto")
    else:
        yield Check("gpu", "ok", "none found (no NVIDIA driver answers); runs use the processor")


def _by_nvml() -> list[str] | None:
    """Name, memory and CUDA version of each GPU; None where NVML cannot be used."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # package or driver is missing; pynvml's errors have no common base with others
        return None
    try:
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [_device(pynvml, handle, cuda) for handle in handles]
    except Exception:  # as above
        return None
    finally:
        with contextlib.suppress(Exception):
            pynvml.nvmlShutdown()


def _device(nvml: object, handle: object, cuda: int) -> str:
    name = nvml.nvmlDeviceGetName(handle)  # type: ignore[attr-defined]
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)  # type: ignore[attr-defined]
    text = name.decode() if isinstance(name, bytes) else str(name)
    return (
        f"{text}, {memory.free / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free, "
        f"driver for CUDA {cuda // 1000}.{cuda % 1000 // 10}"
    )


# the home directory


def look_at_home(home: Path) -> Iterator[Check]:
    """Checks that runs can be written under the home directory; creates only a temporary file."""
    remedy = "choose another with --home or SPRINGTUI_HOME"
    there = next((path for path in (home, *home.parents) if path.exists()), home)
    try:
        if home.exists():
            open_home(home)
        with tempfile.TemporaryFile(dir=there) as file:
            locks = _can_lock(file.fileno())
    except HomeError as error:
        yield Check("home", "fail", str(error), remedy)
        return
    except OSError as error:
        yield Check("home", "fail", f"cannot write under {there}: {error.strerror}", remedy)
        return
    free = shutil.disk_usage(there).free / _GIB
    state: State = "ok" if free >= 1 else "warn"
    made = "" if home.exists() else ", made with the first run"
    advice = "" if free >= 1 else f"make room, or {remedy}"
    yield Check("home", state, f"{home}, {free:.1f} GiB free{made}", advice)
    yield _file_system(there, locks)


def _can_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _file_system(path: Path, locks: bool) -> Check:
    kind = file_system_of(path)
    if not locks:
        remedy = "a live worker cannot be told from a dead one there: choose a local home with --home"
        return Check("file system", "fail", f"{kind or 'unknown'}: it refuses locks", remedy)
    if kind.startswith(_NETWORKED):
        detail = f"{kind}, shared: runs here are seen from other machines, a little later than they are written"
        return Check("file system", "ok", detail)
    return Check("file system", "ok", f"{kind or 'not known'}, locks hold")


def file_system_of(path: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """Type of the file system that a path is on; empty where that is unknown."""
    best = ("", "")
    with contextlib.suppress(OSError):
        for line in mounts.read_text("utf-8", "replace").splitlines():
            parts = line.split()
            if len(parts) < 3:
                continue
            point = parts[1].replace("\\040", " ")
            if path.absolute().is_relative_to(point) and len(point) >= len(best[0]):
                best = (point, parts[2])
    return best[1]
