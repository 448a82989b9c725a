"""Memory: the peak does not grow with the events, and in steady state nothing is kept.

Peaks are taken in processes of their own, since a peak never falls again.  Allocations are counted
by tracemalloc between three moments of one run, far enough from its start: what is alive at the
second and was not at the first was kept, what came on top by the third is growing.
"""

import os
import pathlib
import subprocess
import sys
import tracemalloc

import fastflow as ff
from bench.stages import Counter, Forward, edge

# Where the package that is imported here lies: the other process must not find another build of it.
HOME = pathlib.Path(ff.__file__).parent.parent

PEAK_PROGRAM = """
import pathlib
import resource
import sys

import fastflow as ff

print(ff.run(ff.Range(int(sys.argv[1])), ff.Sum()))
# The system's own word for this process alone; getrusage counts what stood here before exec.
status = pathlib.Path("/proc/self/status")
if status.exists():
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    print(int(lines["VmHWM"].split()[0]) * 1024)
else:
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


def peak_bytes(stop):
    """Peak memory of a process that adds up ``range(stop)``; its sum is checked."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", PEAK_PROGRAM, str(stop)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(HOME)},
    )
    total, peak = map(int, ran.stdout.split())
    if total != stop * (stop - 1) // 2:
        raise AssertionError(
            f"sum of range({stop}): got {total}, expected {stop * (stop - 1) // 2}"
        )
    return peak


class Watch:
    """Counts live blocks at three moments; `look` is called once a batch.

    Parameters
    ----------
    every : int
        Batches between two moments; the first comes after so many, too.
    """

    # What tracemalloc and this class themselves keep is no business of the pipeline's.
    OWN = (tracemalloc.Filter(False, tracemalloc.__file__),)

    def __init__(self, every):
        self.batch, self.every = 0, every
        self.snapshots = [None, None, None]

    def look(self):
        """Count one batch; at each of the three moments, take down what is alive."""
        self.batch += 1
        moment, rest = divmod(self.batch, self.every)
        if rest == 0 and moment <= 3:
            self.snapshots[moment - 1] = tracemalloc.take_snapshot()

    def kept_and_growing(self):
        """Blocks that came between the first two moments, and between the last two."""
        first, second, third = (shot.filter_traces(self.OWN) for shot in self.snapshots)
        return tuple(
            sum(change.count_diff for change in later.compare_to(earlier, "lineno"))
            for earlier, later in ((first, second), (second, third))
        )


class Watched(ff.Consumer):
    """Adds up its events and has each batch looked at."""

    def __init__(self, watch):
        self.watch, self.total = watch, 0

    def handle_events(self, events, source):
        self.total += int(events.sum())
        self.watch.look()

    def result(self):
        return self.total


def watched_stages(every, batch):
    """Run Counter, Forward and a watched consumer; what was kept and what is growing."""
    watch = Watch(every)
    stop = batch * (3 * every + 1)
    tracemalloc.start()
    try:
        total = ff.run(Counter(0, stop), Forward(), Watched(watch), **edge(batch))
    finally:
        tracemalloc.stop()
    if total != stop * (stop - 1) // 2:
        raise AssertionError(
            f"sum of range({stop}): got {total}, expected {stop * (stop - 1) // 2}"
        )
    return watch.kept_and_growing()


def watched_stream(every, batch):
    """The same for a loop over ``ff.stream``."""
    watch, total = Watch(every), 0
    stop = batch * (3 * every + 1)
    tracemalloc.start()
    try:
        for events in ff.stream(Counter(0, stop), Forward(), **edge(batch)):
            total += int(events.sum())
            watch.look()
    finally:
        tracemalloc.stop()
    if total != stop * (stop - 1) // 2:
        raise AssertionError(
            f"sum of range({stop}): got {total}, expected {stop * (stop - 1) // 2}"
        )
    return watch.kept_and_growing()


def bench_peak_memory(race):
    few, many = race.size((1_000_000, 1_000_000_000), (10_000, 1_000_000))
    race.figure(
        "Range -> Sum: peak memory at 1e9 events beyond that at 1e6",
        lambda: (peak_bytes(many) - peak_bytes(few)) / 1e6,
        unit="MB",
        most=5,
    )


def bench_allocations_of_stages(race):
    every = race.size(500, 20)
    race.figure(
        "Counter -> Forward -> Watched: blocks kept or growing over 500 batches of 1 K",
        lambda: max(watched_stages(every, 1_024)),
        unit="blocks",
        most=0,
    )


def bench_allocations_of_stream(race):
    every = race.size(500, 20)
    race.figure(
        "a loop over ff.stream: blocks kept or growing over 500 batches of 1 K",
        lambda: max(watched_stream(every, 1_024)),
        unit="blocks",
        most=0,
    )
