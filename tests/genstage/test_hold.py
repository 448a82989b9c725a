"""Hold and release, GenStage's accumulate and forward: GenStage 59 to 65."""

from __future__ import annotations

import pytest
from helpers_demand import Counter, Hand, Push

import fastflow as ff
from fastflow.errors import OptionError
from fastflow.testing import Recorder, settle, stage_of


def test_held_tells_and_hold_and_release_change_it():
    """GenStage 59."""
    rt = ff.Runtime()
    counter = rt.start(Counter(10))
    assert counter.held is False

    counter.hold()
    settle(rt)
    assert counter.held is True

    counter.release()
    settle(rt)
    assert counter.held is False


def test_hold_and_release_may_come_from_another_thread():
    """GenStage 59. They are mail there; what was told first happens first."""
    with ff.Runtime() as rt:
        counter = rt.start(Counter(10), hold=True)
        seen = rt.start(Recorder(), subscribe_to=[counter])
        for _ in range(3):
            counter.hold()
            counter.release()
        assert sum(batch.sum() for batch in seen.result(20.0)) == 45


def test_a_held_producer_is_asked_but_neither_called_nor_emptied():
    """GenStage 60. Subscriptions and asks are accepted; after the release it goes on."""
    rt, demands = ff.Runtime(), []
    counter = rt.start(Counter(100, demands=demands, ends=False), hold=True)
    hand = rt.start(Hand())
    subscription = hand.subscribe(counter, max_demand=10)
    subscription.ask(3)
    settle(rt)

    assert counter.held is True
    assert subscription.statistics()["asked"] == 3
    assert demands == [] and stage_of(hand).seen == []

    counter.release()
    settle(rt)
    assert demands == [3]
    assert stage_of(hand).seen == [0, 1, 2]


def test_hold_may_be_a_class_attribute():
    """GenStage 60. As every option; `start` may override it."""

    class Held(Counter):
        hold = True

    rt = ff.Runtime()

    assert rt.start(Held(10)).held is True
    assert rt.start(Held(10), hold=False).held is False


def test_nobody_misses_the_start_of_a_held_producer():
    """GenStage 60. Better than starting in the right order: both get their share from the first event on."""
    rt = ff.Runtime()
    counter = rt.start(Counter(20, ends=False), hold=True)
    hands = [rt.start(Hand()) for _ in range(2)]
    hands[0].subscribe(counter, max_demand=10).ask(4)
    settle(rt)
    hands[1].subscribe(counter, max_demand=10).ask(6)
    settle(rt)

    counter.release()
    settle(rt)

    assert stage_of(hands[1]).seen == [0, 1, 2, 3, 4, 5]
    assert stage_of(hands[0]).seen == [6, 7, 8, 9]


def test_what_was_asked_while_held_comes_as_one_sum():
    """GenStage 61. Better: one turn for all of it; GenStage repeats the asks one by one."""
    rt, demands = ff.Runtime(), []
    counter = rt.start(Counter(100, demands=demands, ends=False), hold=True)
    one, two = (rt.start(Hand()).subscribe(counter, max_demand=10) for _ in range(2))
    for n in (2, 1, 1):
        one.ask(n)
        two.ask(n)
        settle(rt)

    counter.release()
    settle(rt)

    assert demands == [8]
    assert one.statistics()["sent"] == two.statistics()["sent"] == 4


def test_what_was_emitted_while_held_leaves_in_its_order_before_new_events():
    """GenStage 62. It waits in the buffer, so it can be counted; nothing is kept beside it."""
    rt, demands = ff.Runtime(), []
    push, hand = rt.start(Push(demands), hold=True), rt.start(Hand())
    subscription = hand.subscribe(push, max_demand=10)
    push.cast([1])
    subscription.ask(2)
    push.cast([2, 3])
    subscription.ask(3)
    push.cast([4])
    settle(rt)
    assert stage_of(hand).seen == []
    assert push.estimate_buffered_count() == 4

    push.release()
    settle(rt)

    assert stage_of(hand).seen == [1, 2, 3, 4]
    assert push.estimate_buffered_count() == 0
    assert demands == [1]


def test_holding_again_changes_nothing():
    """GenStage 63. Nor does releasing again; what was asked and emitted stays."""
    rt, demands = ff.Runtime(), []
    push, hand = rt.start(Push(demands), hold=True), rt.start(Hand())
    hand.subscribe(push, max_demand=10).ask(3)
    push.cast([1])
    settle(rt)

    push.hold()
    settle(rt)
    assert push.held is True and push.estimate_buffered_count() == 1
    push.release()
    push.release()
    settle(rt)

    assert stage_of(hand).seen == [1]
    assert demands == [2]


def test_a_producer_can_be_held_again_on_the_way():
    """GenStage 63. What was sent before is handled; nothing more leaves."""
    rt, demands = ff.Runtime(), []
    counter, hand = rt.start(Counter(100, demands=demands, ends=False)), rt.start(Hand())
    subscription = hand.subscribe(counter, max_demand=10)
    subscription.ask(3)
    settle(rt)

    counter.hold()
    subscription.ask(4)
    settle(rt)
    assert demands == [3] and stage_of(hand).seen == [0, 1, 2]
    counter.release()
    settle(rt)

    assert demands == [3, 4]
    assert stage_of(hand).seen == list(range(7))


@pytest.mark.parametrize("what", ["hold", "release"])
@pytest.mark.parametrize("stage", [Hand(), ff.Map(lambda x: x)], ids=["consumer", "producer_consumer"])
def test_only_producers_can_be_held(stage, what):
    """GenStage 64. Better: an error where it is said, not a line in a log; the stage goes on."""
    rt = ff.Runtime()
    ref = rt.start(stage)

    with pytest.raises(OptionError, match=rf"{what}.*producer"):
        getattr(ref, what)()

    settle(rt)
    assert ref.alive


@pytest.mark.parametrize("stage", [Hand(), ff.Map(lambda x: x)], ids=["consumer", "producer_consumer"])
def test_the_option_hold_is_of_producers(stage):
    """GenStage 64."""
    with pytest.raises(OptionError, match="hold"):
        ff.Runtime().start(stage, hold=True)


@pytest.mark.parametrize("how", ["finish", "fail"])
def test_a_stage_that_ends_at_its_release_is_called_no_more(how):
    """GenStage 65. What was asked while it was held is not asked of it again."""
    calls = []

    class Ends(ff.Producer):
        dtype = "int64"

        def handle_demand(self, demand):
            calls.append(demand)
            if how == "fail":
                raise LookupError("on purpose")
            self.finish()
            return [1]

    rt = ff.Runtime()
    ends = rt.start(Ends(), hold=True)
    for _ in range(3):
        rt.start(Hand()).subscribe(ends, max_demand=10, cancel="temporary").ask(2)
    settle(rt)

    ends.release()
    settle(rt)

    assert calls == [6]
    assert repr(ends.join()) == ("'normal'" if how == "finish" else "LookupError('on purpose')")


def test_a_held_producer_can_be_stopped():
    """GenStage 65. Holding does not keep it alive, and what it emitted is counted as undelivered."""
    rt = ff.Runtime()
    push = rt.start(Push(), hold=True)
    hand = rt.start(Hand(), subscribe_to=[push])
    push.cast([1, 2])
    settle(rt)

    push.stop()
    settle(rt)

    assert push.join() == "shutdown"
    assert hand.join() == "normal"
