"""Driving by hand: turns are taken in this thread, when it says so.

    settle(rt)      until nothing can move any more
    step(rt)        one turn
"""

from __future__ import annotations

from typing import Any

from fastflow.runtime import Ref, Runtime

__all__ = ["settle", "stage_of", "step"]


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
