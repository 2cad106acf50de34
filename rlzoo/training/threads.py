"""One thread for NumPy's products while an agent is made, learns or is evaluated: engines have threads of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from threadpoolctl import threadpool_limits

_lock, _within = Lock(), 0
_limits: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS, which is the whole process's, until the last of those who asked for it is done."""
    global _limits, _within
    with _lock:
        if _within == 0:
            _limits = threadpool_limits(1, user_api="blas")
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if _within == 0:
                _limits.restore_original_limits()
