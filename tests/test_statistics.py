"""What a stage and a subscription say of themselves: counters, and seconds in callbacks from one turn in 64."""

import time

import pytest

import fastflow as ff
from fastflow.testing import settle

STAGE = {
    "asked", "sent", "acked", "emitted", "handled", "buffered", "discarded", "turns", "callback_seconds",
    "sampled_turns",
}


class Spins(ff.Consumer):
    """Works for a while with each batch."""

    seconds = 0.0002

    def handle_events(self, events, source):
        until = time.perf_counter() + self.seconds
        while time.perf_counter() < until:
            pass


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast"])
@pytest.mark.parametrize("sink", [ff.Sum, Spins], ids=["native", "Python"])
def test_counters_of_both_sides_agree_at_rest(sink, dispatcher):
    rt = ff.Runtime()
    numbers = rt.start(ff.Range(1000), dispatcher=dispatcher)
    total = rt.start(sink(), subscribe_to=[(numbers, dict(max_demand=100))])
    [edge] = rt.subscriptions()
    settle(rt)

    source, drain = numbers.statistics(), total.statistics()

    assert set(source) == set(drain) == STAGE
    assert (source["emitted"], source["sent"], source["acked"]) == (1000, 1000, 1000)
    assert (source["asked"], source["buffered"], source["discarded"]) == (0, 0, 0)
    assert drain["handled"] == 1000
    assert source["turns"] > 0 and drain["turns"] >= 1000 // 50
    assert edge.statistics()["buffered"] == edge.statistics()["discarded"] == 0


def test_seconds_in_callbacks_are_estimated_from_one_turn_in_64():
    rt = ff.Runtime()
    spins = rt.start(Spins(), subscribe_to=[(rt.start(ff.Range(50 * 6400)), dict(max_demand=100))])

    rt.run()

    numbers = spins.statistics()
    assert numbers["sampled_turns"] == pytest.approx(numbers["turns"] / 64, abs=2)
    # Each takes at least so long; how much longer is up to the machine.
    assert numbers["callback_seconds"] >= 0.9 * Spins.seconds * 64 * numbers["sampled_turns"]


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast"])
def test_native_stages_are_sampled_too(dispatcher):
    rt = ff.Runtime()
    numbers = rt.start(ff.Range(10**6), dispatcher=dispatcher)
    total = rt.start(ff.Sum(), subscribe_to=[(numbers, dict(max_demand=1000))])

    rt.run()

    for ref in (numbers, total):
        found = ref.statistics()
        assert found["sampled_turns"] == pytest.approx(found["turns"] / 64, abs=2)
        assert found["callback_seconds"] > 0


def test_a_stage_that_did_nothing_says_so():
    rt = ff.Runtime()
    numbers = rt.start(ff.Range(10)).statistics()

    assert numbers == dict.fromkeys(STAGE, 0)
