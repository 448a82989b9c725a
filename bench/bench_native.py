"""Native stages on one thread: what the ring and the turn add to two loops in C.

Range ──int64──▶ Sum
"""

import numpy as np
import pytest

import fastflow as ff
from bench import rivals
from bench.harness import Clocked, Rival
from bench.stages import edge
from fastflow import _handoff


@pytest.mark.parametrize(("batch", "least"), [(16_384, 0.95), (1_024, 0.85)])
def bench_range_to_sum_and_c(race, batch, least):
    stop = race.size(1_000_000_000, 3 * batch + 5)
    race.faster(
        f"Range -> Sum, batches of {batch:,}",
        lambda: ff.run(ff.Range(stop), ff.Sum(), **edge(batch)),
        [
            Rival(
                "blocked fill and checked sum in C", lambda: rivals.blocked_sum(stop, batch), least
            )
        ],
        amount=stop,
    )


def bench_range_to_sum_and_numpy_chunks(race):
    stop, chunk = race.size(500_000_000, 200_000), 65_536

    def numpy_chunks():
        total = 0
        for start in range(0, stop, chunk):
            total += int(np.arange(start, min(start + chunk, stop)).sum())
        return total

    race.faster(
        "Range -> Sum, default demand",
        lambda: ff.run(ff.Range(stop), ff.Sum()),
        [Rival("NumPy chunks of 64 K in a plain loop", numpy_chunks, 2)],
        amount=stop,
    )


def bench_range_to_sum_and_a_generator(race):
    stop = race.size(10_000_000, 10_000)
    race.faster(
        "Range -> Sum, default demand",
        lambda: ff.run(ff.Range(stop), ff.Sum()),
        [
            Rival(
                "sum() over a generator, one event at a time",
                lambda: sum(x for x in range(stop)),
                100,
            )
        ],
        amount=stop,
        rounds=5,
    )


def bench_protocol(race):
    batches = race.size(10_000_000, 100)
    race.cost(
        "the protocol: publish and acknowledge one batch, native, wake-capable",
        lambda: Clocked(_handoff.bench_protocol(batches), None),
        [],
        batches=batches,
        most=20e-9,
    )
