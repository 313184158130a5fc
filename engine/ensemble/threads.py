"""The limit on the threads of BLAS and torch under which members are trained, one thread a member."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from ..jit import sgemm_address

_limits_lock = threading.Lock()
_limited: list[Any] = []
"""The limit on BLAS's threads while there are ``_holders``; the last one to leave lifts it."""
_holders = 0


@contextlib.contextmanager
def single_threaded(torch_threads: int = 1) -> Iterator[None]:
    """Limit BLAS to one thread in the process and torch to some in the calling thread; undone at the end."""
    global _holders
    before = torch.get_num_threads()
    sgemm_address()  # loads SciPy's BLAS: only what is loaded can be limited
    with _limits_lock:
        _holders += 1
        if _holders == 1:
            _limited.append(threadpool_limits(1, user_api="blas"))
    torch.set_num_threads(torch_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        with _limits_lock:
            _holders -= 1
            if _holders == 0:
                _limited.pop().restore_original_limits()
