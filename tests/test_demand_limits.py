"""Demand at the end of all numbers: what happens when a subscription has no positions left."""

import numpy as np
import pytest

import fastflow as ff
from fastflow.testing import Recorder, settle

LAST = 2**63 - 1


class NearTheEnd(Recorder):
    """Its subscription begins `left` events before the last position there is."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def handle_subscribe(self, role, options, subscription):
        subscription.start_cursors_at(LAST - self.left)
        return "automatic"


@pytest.mark.parametrize("left", [1, 7, 50, 64])
def test_a_subscription_without_positions_ends_with_an_overflow_error(left):
    rt = ff.Runtime()
    numbers = rt.start(ff.Range(1000))
    seen = rt.start(NearTheEnd(left), subscribe_to=[(numbers, {"max_demand": 16})])

    settle(rt)

    assert isinstance(seen.join(), OverflowError)
    assert numbers.alive
    assert "2**63 - 1" in str(seen.join())
    came = ff.testing.stage_of(seen).batches
    assert np.concatenate(came).tolist() == list(range(left))


def test_a_native_consumer_without_positions_ends_in_the_same_way():
    class Near(ff.Sum):
        def handle_subscribe(self, role, options, subscription):
            subscription.start_cursors_at(LAST - 5000)
            return "automatic"

    rt = ff.Runtime()
    numbers = rt.start(ff.Range(10_000))
    total = rt.start(Near(), subscribe_to=[numbers])

    settle(rt)

    assert isinstance(total.join(), OverflowError)
    assert numbers.statistics()["emitted"] == 5000


def test_asking_for_more_than_there_are_positions_saturates():
    class ByHand(NearTheEnd):
        def handle_subscribe(self, role, options, subscription):
            super().handle_subscribe(role, options, subscription)
            return "manual"

    rt = ff.Runtime()
    numbers = rt.start(ff.Range(1000))
    seen = rt.start(ByHand(10))
    subscription = seen.subscribe(numbers, max_demand=100)

    subscription.ask(LAST)
    subscription.ask(LAST)
    settle(rt)

    asked, sent, acked = subscription.counters
    assert asked == sent == acked == LAST
    assert isinstance(seen.join(), OverflowError)
