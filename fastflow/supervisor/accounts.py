"""Accounts: how many children run for whom, and what the end of one means.

    producer ──4 events──▶ 4 children run ──2 end──▶ ask for 2 more
                           │
                           └─ one fails: is it started again?

With max_demand 4 and min_demand 2 a supervisor asks for 4 at first.  Each event becomes a child.  When 2 of them have
ended (never fewer than 1), it asks for 2 more: so what is asked and what runs are never more than 4 together::

    open + running <= max_demand        per producer, as long as nobody asks for more by hand

A child that could not be started has ended.  One that is about to be started again still runs, so its event counts.  A
child that no event brought counts for nobody.

Nothing here starts anything or reads a clock: tell it what happened, it says what to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Literal, NamedTuple

from fastflow.supervisor.window import RestartWindow

__all__ = ["Children", "Verdict"]

#: Causes that are kept for the error of a supervisor that gives up.
KEPT_CAUSES = 20


class Verdict(NamedTuple):
    """What the end of a child means.

    Attributes
    ----------
    what : {"gone", "restart", "give up", "unknown"}
        Unknown: the child was gone already, nothing is to be done.
    producer : hashable or None
        Whom to ask for events.
    ask : int
        For how many; 0: for none yet.
    """

    what: Literal["gone", "restart", "give up", "unknown"]
    producer: Hashable = None
    ask: int = 0


class _Producer:
    """The account of one subscription."""

    __slots__ = ("most", "open", "running", "step")

    def __init__(self, most: int, step: int) -> None:
        self.most = most            # children at a time
        self.step = step            # free places that make it worth while to ask
        self.open = 0               # asked for and not yet come
        self.running = 0

    def free(self) -> int:
        """Ask for what is free, if it is enough."""
        free = self.most - self.open - self.running
        if free < self.step:
            return 0
        self.open += free
        return free


class _Child:
    """One child, from its event to its last end."""

    __slots__ = ("account", "producer", "state")

    def __init__(self, producer: Hashable, account: _Producer | None) -> None:
        self.producer, self.account = producer, account
        self.state: Literal["running", "restarting", "stopping"] = "running"


class Children:
    """The children of a consumer supervisor, by numbers.

    Parameters
    ----------
    restart : {"temporary", "transient"}
        Never, or when a child has failed.
    window : RestartWindow
        How often.

    Attributes
    ----------
    causes : deque of str
        What children failed with that were to be started again, the last few.
    succeeded, failed, restarted : int
        Children that have ended well, and for good not so; starts beyond the first of each.

    Examples
    --------
    >>> children = Children("temporary", RestartWindow(3, 5.0))
    >>> children.joined("numbers", 3, 2)
    3
    >>> children.admit("numbers", 3)
    ([1, 2, 3], 0)
    >>> children.exited(1, None, 0.0).ask, children.exited(2, None, 0.0).ask
    (0, 2)
    """

    def __init__(self, restart: Literal["temporary", "transient"], window: RestartWindow) -> None:
        self.restart, self.window = restart, window
        self.causes: deque[str] = deque(maxlen=KEPT_CAUSES)
        self.succeeded = self.failed = self.restarted = 0
        self._producers: dict[Hashable, _Producer] = {}
        self._children: dict[int, _Child] = {}
        self._last = 0
        self._restarting = 0

    def __len__(self) -> int:
        return len(self._children)

    def __contains__(self, number: int) -> bool:
        return number in self._children

    @property
    def active(self) -> int:
        """Children that run, those left out that are about to be started again."""
        return len(self._children) - self._restarting

    # -- producers --

    def joined(self, producer: Hashable, most: int, least: int, whole: int = 0) -> int:
        """A new producer; returns how many events to ask for.

        Parameters
        ----------
        producer : hashable
            Any key.
        most : int
            `max_demand`: children at a time.
        least : int
            `min_demand`: so many must have ended before more is asked for, but never fewer than 1.
        whole : int
            The producer's batches come whole and have up to so many events; there must be an ask that they fit in.
        """
        step = max(least, 1)
        if whole:
            step = max(1, min(step, most - whole + 1))
        account = self._producers[producer] = _Producer(most, step)
        return account.free()

    def left(self, producer: Hashable) -> None:
        """Its subscription has ended; its children remain, and count for nobody."""
        account = self._producers.pop(producer, None)
        for child in self._children.values():
            if child.account is account:
                child.account = None

    # -- children --

    def admit(self, producer: Hashable, n: int) -> tuple[list[int], int]:
        """`n` events have come: the numbers of their children, and how many are more than there may be."""
        account = self._producers.get(producer)
        excess = 0
        if account is not None:
            account.open = max(0, account.open - n)
            account.running += n
            excess = min(n, max(0, account.running - account.most))
        return [self._new(producer, account) for _ in range(n)], excess

    def admit_one(self) -> int:
        """A child that no event has brought; its number."""
        return self._new(None, None)

    def _new(self, producer: Hashable, account: _Producer | None) -> int:
        self._last += 1
        self._children[self._last] = _Child(producer, account)
        return self._last

    def state(self, number: int) -> str:
        """Running, restarting or stopping."""
        return self._children[number].state

    def started(self, number: int) -> bool:
        """A child that was to be started again runs; False: nobody wants it any more."""
        child = self._children.get(number)
        if child is None:
            return False
        self._set(child, "running")
        return True

    def not_started(self, number: int) -> Verdict:
        """Its first start failed: that is its end."""
        self.failed += 1
        return self._gone(number)

    def exited(self, number: int, cause: str | None, now: float) -> Verdict:
        """A child has ended, or could not be started again.

        Parameters
        ----------
        number : int
            Of the child.
        cause : str or None
            What it failed with; None: it ended well.
        now : float
            Seconds on a clock.
        """
        child = self._children.get(number)
        if child is None:
            return Verdict("unknown")
        if cause is None or self.restart == "temporary" or child.state == "stopping":
            self.succeeded += cause is None
            self.failed += cause is not None
            return self._gone(number)
        self.causes.append(cause)
        if self.window.exited(now) == "restart":
            self.restarted += 1
            self._set(child, "restarting")
            return Verdict("restart")
        self.failed += 1
        self._gone(number)
        return Verdict("give up")

    def stop(self, number: int) -> Verdict | None:
        """It is told to end, and not started again; a verdict if it is gone at once, as it does not run."""
        child = self._children[number]
        if child.state == "restarting":
            return self._gone(number)
        self._set(child, "stopping")
        return None

    def _set(self, child: _Child, state: Literal["running", "restarting", "stopping"]) -> None:
        self._restarting += (state == "restarting") - (child.state == "restarting")
        child.state = state

    def _gone(self, number: int) -> Verdict:
        child = self._children.pop(number, None)
        if child is None:
            return Verdict("unknown")
        self._restarting -= child.state == "restarting"
        if child.account is None:
            return Verdict("gone")
        child.account.running -= 1
        return Verdict("gone", child.producer, child.account.free())
