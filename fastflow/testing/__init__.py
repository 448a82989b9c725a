"""Testing: pipelines step by step, without a thread, a sleep or a real clock.

    rt = ff.Runtime(clock=(clock := ff.testing.ManualClock()))
    numbers = rt.start(ff.testing.Script([[1, 2], [3]]))
    seen = rt.start(ff.testing.Recorder(), subscribe_to=[numbers])
    ff.testing.settle(rt)                      # returns when nothing can move any more
    assert seen.result() == [[1, 2], [3]]
"""

from __future__ import annotations

from fastflow.testing.clock import ManualClock
from fastflow.testing.drive import settle, stage_of, step
from fastflow.testing.stages import Recorder, Script

__all__ = ["ManualClock", "Recorder", "Script", "settle", "stage_of", "step"]
