"""Testing: pipelines step by step, without a thread, a sleep or a real clock.

    rt = ff.Runtime(clock=(clock := ff.testing.ManualClock()))
    numbers = rt.start(ff.testing.Script([[1, 2], [3]]))
    seen = rt.start(ff.testing.Recorder(), subscribe_to=[numbers])
    ff.testing.settle(rt)                      # returns when nothing can move any more
    assert seen.result() == [[1, 2], [3]]

    conformance(lambda: Counter(0, 100)).check()    # does a stage of yours keep the rules of Reactive Streams?
"""

from __future__ import annotations

from fastflow.testing.clock import ManualClock
from fastflow.testing.conformance import Entry, Report, conformance
from fastflow.testing.drive import settle, stage_of, step
from fastflow.testing.stages import Recorder, Script

__all__ = ["Entry", "ManualClock", "Recorder", "Report", "Script", "conformance", "settle", "stage_of", "step"]
