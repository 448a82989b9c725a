"""Work outside of the scheduler: threads whose end the driver must wait for, though no stage can move.

    begin() ──▶ a thread works ──▶ its word comes as mail ──▶ end()

While some goes on, nobody says that nothing can move any more: the driver sleeps until mail comes.  Whoever begins
such work ends it, on the scheduler's thread, when it handles that mail; so there is always one of the two.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastflow._scheduler import Scheduler

__all__ = ["OutsideWork"]


class OutsideWork:
    """How much work goes on outside of the scheduler.

    Parameters
    ----------
    scheduler : Scheduler
        Its driver is woken when work ends.

    Attributes
    ----------
    count : int
        Begun and not ended; 0: only turns, mail and timers can move anything.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._graces: dict[int, float] = {}
        self.count = 0

    def begin(self) -> None:
        """One piece of work more; from any thread."""
        with self._lock:
            self.count += 1

    def end(self) -> None:
        """One piece less; from any thread."""
        with self._lock:
            self.count -= 1
        self._scheduler.nudge()

    def set_grace(self, owner: object, seconds: float) -> None:
        """The end of `owner` may wait for its work for so many seconds; 0 takes that back."""
        if seconds:
            self._graces[id(owner)] = seconds
        else:
            self._graces.pop(id(owner), None)

    def with_grace(self, timeout: float | None) -> float | None:
        """A timeout for stopping everything, longer by what the ends of stages may wait."""
        if timeout is None:
            return None
        timeout += sum(self._graces.values())
        return timeout if timeout < threading.TIMEOUT_MAX else None
