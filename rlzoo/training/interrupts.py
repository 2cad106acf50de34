"""Ctrl-C, and other threads' reading, between steps and never within one: an agent half changed is none."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Whole:
    """`with whole:` a signal waits for the end; outside it comes at once. It works between `watched()`'s ends.

    Another thread that saves, copies or acts waits for the end too: by `lock`, which it has for as long as it reads.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.within = False
        self.waiting: Any = None  # the handler that a signal is for, and its arguments

    def __enter__(self) -> None:
        self.within = True
        self.lock.acquire()

    def __exit__(self, *error: Any) -> None:
        self.lock.release()
        self.within = False
        if self.waiting is not None:
            handler, *arguments = self.waiting
            self.waiting = None
            handler(*arguments)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Put itself before the handlers of Ctrl-C and SIGTERM; in a thread that gets no signals, do nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        found: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
        before = {number: handler for number, handler in found.items() if callable(handler)}

        def handle(number: int, frame: Any) -> None:
            if self.within:
                self.waiting = before[number], number, frame
            else:
                before[number](number, frame)

        for number in before:
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
