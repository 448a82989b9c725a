"""A clock for tests: time passes when it is told to.

    rt = ff.Runtime(clock=(clock := ff.testing.ManualClock()))
    clock.advance(60)                          # a minute, at once
"""

from __future__ import annotations

__all__ = ["ManualClock"]


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
