"""A chain of eight Python stages that pass their batches on: what one hop costs.

    Range ──▶ Forward ──▶ ... eight of them ... ──▶ Forward ──▶ Count

A batch that a callback returns as it got it is passed on without a copy: the price of a hop must
not depend on the size of the batch.
"""

import itertools
import time

import numpy as np
import pytest

import fastflow as ff
from bench.harness import Clocked, Rival
from bench.stages import Forward, edge

HOPS = 8


@pytest.mark.parametrize(("batch", "batches"), [(1, 50_000), (1_024, 50_000), (65_536, 5_000)])
def bench_hop_of_a_chain(race, batch, batches):
    batches = race.size(batches, 3)
    stop = batch * batches

    def bare_calls():
        forward, events = Forward.handle_events, np.empty(batch, np.int64)
        began = time.perf_counter()
        for _ in itertools.repeat(None, batches * HOPS):
            forward(None, events, None)
        called = time.perf_counter()
        for _ in itertools.repeat(None, batches * HOPS):
            pass
        return Clocked(called - began - (time.perf_counter() - called), stop)

    race.cost(
        f"chain of {HOPS} Python producer_consumers, batches of {batch:,}: for each hop and batch",
        lambda: ff.run(
            ff.Range(stop), *(Forward() for _ in range(HOPS)), ff.Count(), **edge(batch)
        ),
        [
            Rival("Range -> Count", lambda: ff.run(ff.Range(stop), ff.Count(), **edge(batch))),
            Rival("the bare calls", bare_calls),
        ],
        batches=batches * HOPS,
        most=1e-6,
    )
