"""Threads of children: functions that a supervisor has started, each on a thread of its own, so that it may block.

    def fetch(url):
        child = ff.supervisor.this_child()
        while not child.stopping.is_set():      # a thread can't be killed: it looks, and returns
            ...

A thread reports its end once, whatever it was; what it raised is kept until somebody has read it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["ChildThread", "this_child"]


class _Here(threading.local):
    """What belongs to the thread that looks."""

    child: ChildThread | None = None


_here = _Here()


class ChildThread:
    """A function at work on a thread of its own; what a supervisor gives for such a child.

    Parameters
    ----------
    name : str
        Of the thread.
    function : callable
        The child.
    arguments : tuple
        What it gets: the event.
    report : callable
        Called on that thread with this object, when the function has ended.

    Attributes
    ----------
    name : str
        Of the thread.
    stopping : threading.Event
        Set when the child is told to end.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], report: Callable[[ChildThread], None]
    ) -> None:
        self.name = name
        self.stopping = threading.Event()
        self.counted = False                            # as work outside of the scheduler: the supervisor's business
        self._over = threading.Event()
        self._error: BaseException | None = None
        self.report = report
        self._thread = threading.Thread(target=self._run, args=(function, arguments), name=name, daemon=True)

    def start(self) -> None:
        """Begin; raises what the system says when there can be no more threads."""
        self._thread.start()

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        _here.child = self
        try:
            function(*arguments)
        except SystemExit as error:
            if error.code:                              # sys.exit() and sys.exit(0) are a normal end, as everywhere
                self._error = error
        except BaseException as error:
            self._error = error
        finally:
            _here.child = None
            del function, arguments                     # the event is let go of, even if somebody keeps this object
            self.report(self)
            self._over.set()

    def take_error(self) -> BaseException | None:
        """What it failed with; only the first time, so that its frames are let go of."""
        error, self._error = self._error, None
        return error

    @property
    def alive(self) -> bool:
        """Whether the function has not ended."""
        return not self._over.is_set() and self._thread.ident is not None

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the function has ended.

        Parameters
        ----------
        timeout : float or None
            Seconds; None waits for ever.

        Returns
        -------
        bool
            Whether it has.
        """
        return not self.alive or self._over.wait(timeout)

    def __repr__(self) -> str:
        return f"<ChildThread {self.name}: {'running' if self.alive else 'ended'}>"


def this_child() -> ChildThread | None:
    """The child that this thread is; None on any other thread.

    Examples
    --------
    >>> this_child() is None
    True
    """
    return _here.child
