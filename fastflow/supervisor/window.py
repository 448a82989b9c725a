"""Restart windows: how many restarts in how many seconds are too many.

    failures   x     x  x         x
    seconds    0  1  2  3  4  5  6  7      max_restarts=3 in max_seconds=5: the fourth comes 7 s after
               └─────── 5 ──────┘          the first, so it is a restart again; at 4 s it would be the end

A supervisor starts again what has failed, since most causes pass.  A cause that stays would keep it busy for ever; so
when more than `max_restarts` failures lie within `max_seconds`, it fails itself, and whoever supervises it, or the
user, has to see to the cause.

Nothing here reads a clock: the time is given.  A failure costs the same however many came before: only the last
``max_restarts + 1`` times are kept, and the oldest of them tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Literal

from fastflow.errors import GaveUp, OptionError

__all__ = ["RestartWindow", "gave_up", "text_of"]

#: Characters of one cause that are kept: an exception may have a whole batch in its text.
CAUSE_CHARACTERS = 300


class RestartWindow:
    """Says, at each failure, whether there is to be a restart.

    Parameters
    ----------
    max_restarts : int
        So many are allowed, from 0 up ...
    max_seconds : float
        ... within so many seconds, more than 0.

    Raises
    ------
    OptionError
        If one of them can't be.

    Examples
    --------
    >>> window = RestartWindow(max_restarts=2, max_seconds=5)
    >>> [window.exited(now) for now in (0.0, 1.0, 5.5, 5.6)]
    ['restart', 'restart', 'restart', 'give up']
    """

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        if isinstance(max_restarts, bool) or not hasattr(max_restarts, "__index__"):
            raise OptionError(f"max_restarts: got {max_restarts!r}, expected a whole number of restarts; give 3, say")
        if not 0 <= max_restarts < 1 << 62:
            raise OptionError(f"max_restarts: got {max_restarts!r}, expected 0 or more; 0 allows no restart at all")
        number = isinstance(max_seconds, (int, float)) and not isinstance(max_seconds, bool)
        if not number or not 0 < max_seconds < float("inf"):
            raise OptionError(f"max_seconds: got {max_seconds!r}, expected seconds, more than 0; give 5.0, say")
        self.max_restarts = max_restarts.__index__()
        self.max_seconds = float(max_seconds)
        self._times: deque[float] = deque(maxlen=self.max_restarts + 1)

    def exited(self, now: float) -> Literal["restart", "give up"]:
        """A child has failed.

        Parameters
        ----------
        now : float
            Seconds on any clock; one that runs backwards is taken to stand still.

        Returns
        -------
        {"restart", "give up"}
        """
        if self._times:
            now = max(now, self._times[-1])
        self._times.append(now)
        full = len(self._times) > self.max_restarts
        return "give up" if full and now - self._times[0] <= self.max_seconds else "restart"

    @property
    def failures(self) -> int:
        """How many are remembered; at most one more than are allowed."""
        return len(self._times)

    @property
    def seconds(self) -> float:
        """Between the first and the last of those that are remembered."""
        return self._times[-1] - self._times[0] if self._times else 0.0


def text_of(error: BaseException) -> str:
    """An exception as a short text, which keeps no frame alive.

    Examples
    --------
    >>> text_of(FileNotFoundError("a.h5"))
    "FileNotFoundError('a.h5')"
    """
    try:
        text = repr(error)
    except Exception:  # noqa: BLE001  a broken repr of somebody's exception must not hide that it was raised
        text = type(error).__name__
    return text if len(text) <= CAUSE_CHARACTERS else text[: CAUSE_CHARACTERS - 3] + "..."


def gave_up(name: str, child: Any, window: RestartWindow, causes: Iterable[str]) -> GaveUp:
    """The error of a supervisor that gives up.

    Parameters
    ----------
    name : str
        The supervisor's.
    child : object
        Which child it was that failed last, as text.
    window : RestartWindow
        Full.
    causes : iterable of str
        What the children failed with, the oldest first.
    """
    causes = tuple(causes)
    last = causes[-1] if causes else "no cause"
    return GaveUp(
        f"supervisor {name!r}: its children failed {window.failures} times in {window.seconds:.3g} s, allowed "
        f"{window.max_restarts} in {window.max_seconds:g} s; last: {child} with {last}. "
        "Mend the cause, raise max_restarts, or set restart='temporary'",
        causes,
    )
