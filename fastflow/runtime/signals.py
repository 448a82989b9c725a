"""Ctrl-C while a scheduler is driven in the main thread.

    a user's callback runs      KeyboardInterrupt is raised in it, at once; its turn is rolled back
    between turns, or waiting   a flag is set; the loop sees it before the next turn and raises

Python's own handler would raise wherever the interpreter happens to be, in the middle of a commit too.  A handler that
the user has set is left alone, and so is everything when another thread drives.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fastflow._scheduler import Scheduler

__all__ = ["ctrl_c"]


@contextmanager
def ctrl_c(scheduler: Scheduler) -> Iterator[None]:
    """Handle SIGINT for as long as the block drives `scheduler`.

    Parameters
    ----------
    scheduler : Scheduler
        The one that this thread drives.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        place = scheduler.current
        if place is not None and place.busy:
            raise KeyboardInterrupt
        scheduler.interrupted = True
        scheduler.nudge()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)
