"""Events to the partition that their key belongs to: hash, count, scatter.

    Range or Keys ──64 K──▶ hash ──▶ Count, one for each of 4 partitions

The consumers only count, so that what is measured is the way there.  The rival in C chooses by the
same hash, and scatters block by block in one buffer that stays in the cache.
"""

import numpy as np
import pytest

import fastflow as ff
from bench import rivals
from bench.harness import Rival
from bench.stages import edge

PARTITIONS = 4
BATCH = 65_536


class Keys(ff.Producer):
    """Counts in a column of a structured dtype."""

    dtype = [("key", "i8")]

    def __init__(self, stop):
        self.next, self.end = 0, stop

    def handle_demand(self, demand):
        out = self.claim(min(demand, self.end - self.next))
        ff.fill_range(out["key"], self.next)
        self.next += len(out)
        if self.next == self.end:
            self.finish()
        return out


@pytest.mark.parametrize(
    ("what", "source", "by"),
    [("int64, Range", ff.Range, None), ("an int64 column, Python producer", Keys, "key")],
)
def bench_partition_by_hash(race, what, source, by):
    stop = race.size(1_000 * BATCH, 2 * BATCH + 5)

    def ours():
        runtime = ff.Runtime()
        events = runtime.start(source(stop), dispatcher=ff.PartitionDispatcher(PARTITIONS, hash=by))
        counts = [
            runtime.start(ff.Count(), subscribe_to=[(events, edge(BATCH) | {"partition": i})])
            for i in range(PARTITIONS)
        ]
        runtime.run()
        return [count.result() for count in counts]

    def scatter_in_c():
        block, out = np.empty(BATCH, np.int64), np.empty(BATCH, np.int64)
        counts = [0] * PARTITIONS
        for first in range(0, stop, BATCH):
            some = block[: stop - first]
            ff.fill_range(some, first)
            for i, count in enumerate(rivals.partition(some, out, BATCH, PARTITIONS)):
                counts[i] += count
        return counts

    race.faster(
        f"{what} -> hash -> Count, {PARTITIONS} partitions, batches of 64 K "
        "(GenStage, not in this run: 9.4 M events/s)",
        ours,
        [Rival("fill_range and the same scatter in plain C", scatter_in_c, 0.7)],
        amount=stop,
        least_rate=300e6,
    )
