"""Testing: pipelines step by step, without a thread, a sleep or a real clock.

    rt = ff.Runtime(clock=(clock := ff.testing.ManualClock()))
    numbers = rt.start(ff.testing.Script([[1, 2], [3]]))
    seen = rt.start(ff.testing.Recorder(), subscribe_to=[numbers])
    ff.testing.settle(rt)                      # returns when nothing can move any more
    assert seen.result() == [[1, 2], [3]]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastflow.runtime import Ref, Runtime
from fastflow.schema import Batch
from fastflow.stage import Consumer, Producer

__all__ = ["ManualClock", "Recorder", "Script", "settle", "stage_of", "step"]


class ManualClock:
    """A clock that moves when it is told to.

    While `Runtime.run` or `ff.run` drives and only a timer is left, it jumps to that timer.

    Parameters
    ----------
    start : float, default 0.0
        Seconds that it shows first.
    """

    def __init__(self, start: float = 0.0) -> None:
        self.seconds = start

    def __call__(self) -> float:
        """Return the seconds that it shows."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds."""
        if seconds < 0:
            raise ValueError(f"advance: got {seconds} s, expected 0 or more; a clock doesn't run backwards")
        self.seconds += seconds

    def wait(self, seconds: float) -> None:
        """Move on, since nothing else can happen before."""
        self.seconds += seconds


def settle(rt: Runtime) -> int:
    """Drive until nothing can move any more; timers of the future do not count.

    Parameters
    ----------
    rt : Runtime
        One that nobody drives.

    Returns
    -------
    int
        Turns taken.
    """
    with rt.driving():
        turns = 0
        while True:
            taken = rt.scheduler.run()
            turns += taken
            if not taken and rt.scheduler.idle:
                return turns


def step(rt: Runtime) -> bool:
    """Give one turn; False: nothing was ready."""
    with rt.driving():
        while True:
            if rt.scheduler.run(1):
                return True
            if rt.scheduler.idle:
                return False


def stage_of(ref: Ref) -> Any:
    """The live stage behind a ref, to look at."""
    return ref._seat.stage


class Recorder(Consumer):
    """Keeps a copy of every batch.

    Attributes
    ----------
    batches : list
        Of arrays, Batches or lists, as they were delivered.
    """

    def __init__(self, accepts: Any = None) -> None:
        self.batches: list[Any] = []
        self._accepts = accepts

    def _own_options(self) -> dict[str, Any]:
        return {} if self._accepts is None else {"accepts": self._accepts}

    def handle_events(self, events: Any, source: Any) -> None:
        """Copy the batch."""
        if isinstance(events, list):
            self.batches.append(list(events))
        elif isinstance(events, Batch):
            self.batches.append(Batch({name: events[name].copy() for name in events.columns}))
        else:
            self.batches.append(events.copy())

    def result(self) -> list[Any]:
        """Return all batches."""
        return self.batches


class Script(Producer):
    """Emits each of some batches as it stands, one a turn when there is demand, then finishes.

    Parameters
    ----------
    batches : iterable
        Arrays, Batches, dicts of columns, or lists.
    dtype : dtype-like, optional
        What one event is.
    """

    def __init__(self, batches: Iterable[Any], dtype: Any = None) -> None:
        self.dtype = dtype
        self._batches = list(batches)
        self._at = 0

    def handle_demand(self, demand: int) -> Any:
        """Emit the next batch."""
        if self._at == len(self._batches):
            self.finish()
            return None
        self._at += 1
        if self._at == len(self._batches):
            self.finish()
        return self._batches[self._at - 1]
