"""Batches kept until the pool is exhausted: what is tried then, and who is named."""

import gc

import numpy as np
import pytest

import fastflow as ff
from fastflow import _core


@pytest.fixture
def small_pool():
    """The pool may hold 16 MiB more than it holds now."""
    gc.collect()
    limit = _core.pool_statistics()["live_bytes"] + (16 << 20)
    _core.set_memory_limit(limit)
    yield limit
    _core.set_memory_limit(None)


WIDE = {"max_demand": 131_072, "min_demand": 65_536}      # deliveries of up to 512 KiB


def test_an_exhausted_pool_is_a_stall_that_names_the_stage_and_the_bytes_it_pins(small_pool):
    kept = []

    with pytest.raises(ff.Stalled) as caught:
        ff.run(ff.Range(10**9), KeepsForEver(kept))

    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert "KeepsForEver" in text
    assert any(word in text for word in ("bytes", "MiB", "MB"))
    held = sum(view.nbytes for view in kept)
    assert (4 << 20) <= held <= small_pool
    np.testing.assert_array_equal(np.concatenate(kept), np.arange(held // 8))


class KeepsForEver(ff.Consumer):
    def __init__(self, into):
        self.into = into

    def handle_events(self, events, source):
        self.into.append(events)


class KeepsInCycles(ff.Consumer):
    """Lets each batch go, but in a cycle that only the collector finds."""

    def __init__(self):
        self.seen = 0

    def handle_events(self, events, source):
        self.seen += len(events)
        cycle = [events]
        cycle.append(cycle)

    def result(self):
        return self.seen


def test_batches_pinned_in_cycles_are_collected_before_the_pool_is_exhausted(small_pool):
    gc.disable()
    try:
        rt = ff.Runtime()
        source = rt.start(ff.Range(20_000_000))
        rt.start(KeepsInCycles(), subscribe_to=[(source, WIDE)], name="cycles")
        seen = rt.run(timeout=50)["cycles"]
    finally:
        gc.enable()

    assert seen == 20_000_000               # 160 MB of events through a pool of 16 MiB


def test_asks_held_back_for_memory_go_out_when_it_is_let_go(small_pool):
    with ff.Runtime() as rt:
        source = rt.start(ff.Range(4_000_000))              # 32 MB
        keeper = rt.start(KeepsUntilTold(), subscribe_to=[(source, WIDE)])
        held = 0
        while held < 6 << 20:
            held = keeper.call("how many bytes", timeout=30)
        assert keeper.call("how many bytes", timeout=30) <= small_pool

        keeper.call("let go", timeout=30)

        assert keeper.result(timeout=30) == 4_000_000


class KeepsUntilTold(ff.Consumer):
    def __init__(self):
        self.kept = []
        self.keeping = True
        self.seen = 0

    def handle_events(self, events, source):
        if self.keeping:
            self.kept.append(events)
        self.seen += len(events)

    def handle_call(self, request, reply):
        if request == "let go":
            self.keeping = False
            self.kept.clear()
        return sum(events.nbytes for events in self.kept)

    def result(self):
        return self.seen


def test_a_memory_limit_that_nobody_reaches_changes_nothing(small_pool):
    total = ff.run(ff.Range(20_000_000), lambda batch: batch + 1, ff.Sum())

    assert total == 20_000_000 * 20_000_001 // 2
