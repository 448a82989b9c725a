"""Readers: an iterable, read on a thread of its own.

    iterable ──▶ thread ──▶ what has arrived ──▶ the stage, in its turns
                 reads while less has been read than was asked for

The thread is a daemon: nothing can end a ``next`` that blocks, so nobody waits for it.  While it reads what somebody
has asked for, that is work outside of the scheduler: the driver waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastflow._place import Place
    from fastflow.runtime.runtime import Runtime

__all__ = ["Reader"]

log = logging.getLogger("fastflow.runtime")


class Reader(Iterator[Any]):
    """An iterator over what has arrived so far.

    Parameters
    ----------
    runtime : Runtime
        It is told while the thread reads.
    place : Place
        The stage's, which is woken when something has arrived.

    Attributes
    ----------
    nothing_yet : object
        What ``next`` gives while nothing is there, and the iterable has not ended.
    """

    nothing_yet = object()

    def __init__(self, runtime: Runtime, place: Place) -> None:
        self._post, self._outside, self._place = runtime.scheduler.post, runtime.outside_work, place
        self._open: Callable[[], Iterator[Any]] = lambda: iter(())
        self._count: Callable[[Any], int] = lambda item: 1
        self._items: deque[Any] = deque()
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._read = self._allowed = 0
        self._told = self._ended = self._stopped = self._working = self._inside = False

    # -- for the stage, on the scheduler's thread --

    def begin(self, open_iterator: Callable[[], Iterator[Any]], count: Callable[[Any], int]) -> None:
        """Say what to read.

        Parameters
        ----------
        open_iterator : callable
            Called on the thread, for the iterator.
        count : callable
            Events of an item.
        """
        self._open, self._count = open_iterator, count

    def allow(self, position: int) -> None:
        """So many events of the whole stream are asked for; fewer than before is possible."""
        with self._changed:
            self._told = False
            self._allowed = position
            self._weigh()
            self._changed.notify()
        if self._thread is None and position > 0 and not self._stopped:
            name = f"fastflow reader of {self._place.name}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def __next__(self) -> Any:
        if self._items:
            return self._items.popleft()
        with self._changed:
            if self._items:
                return self._items.popleft()
            if not self._ended:
                return self.nothing_yet
            error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopIteration

    def stop(self) -> None:
        """Read nothing more.  A ``next`` under way is left to itself."""
        with self._changed:
            self._stopped = True
            self._weigh()
            self._changed.notify()
            inside = self._inside
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(0.05 if inside else 1.0)
        if thread.is_alive():
            log.warning("stage %r has ended, and its iterable is still in its `next`, which nothing can interrupt; the "
                        "thread that reads it ends when that returns", self._place.name)

    # -- on the thread --

    def _run(self) -> None:
        iterator: Any = None
        try:
            while self._may_read():
                if iterator is None:
                    iterator = self._open()
                item = next(iterator, self)
                if item is self:
                    break
                self._arrived(item)
                del item
            error = None
        except BaseException as raised:
            error = raised
        close = getattr(iterator, "close", None)
        if self._stopped and close is not None:
            try:
                close()                     # a generator cleans up where it was read
            except BaseException as raised:
                error = error or raised
        with self._changed:
            self._ended, self._error = True, error
            self._inside = False
            stopped = self._stopped
        if stopped:
            if error is not None:
                log.warning("stage %r: its iterable failed after the stage had ended", self._place.name, exc_info=error)
        else:
            self._post(self._place.wake)
        with self._changed:
            self._weigh()

    def _may_read(self) -> bool:
        """Wait until something is asked for; False: nothing will be."""
        with self._changed:
            self._inside = False
            while self._read >= self._allowed and not self._stopped:
                self._changed.wait()
            self._inside = not self._stopped
            return self._inside

    def _arrived(self, item: Any) -> None:
        n = self._count(item)
        with self._changed:
            self._items.append(item)
            self._read += n
            tell, self._told = not self._told and not self._stopped, True
        if tell:
            self._post(self._place.wake)
        with self._changed:
            self._weigh()

    # -- with the lock held --

    def _weigh(self) -> None:
        """Whether the thread is at work on something that somebody has asked for."""
        working = self._read < self._allowed and not self._ended and not self._stopped
        if working == self._working:
            return
        self._working = working
        if working:
            self._outside.begin()
        else:
            self._post(self._outside.end)       # as mail, so that it comes behind that of what has arrived
