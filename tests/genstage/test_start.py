"""What a stage is, and how it is started: GenStage 1 to 14."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers_demand import Hand, Push
from helpers_stage import Counter, Log, flat

import fastflow as ff
from fastflow.errors import FastflowError, GraphError, NameTaken, OptionError
from fastflow.testing import Recorder, settle, stage_of


class Same(ff.ProducerConsumer):
    """Passes every batch on."""

    def handle_events(self, events, source):
        return events


def started(rt, *templates):
    """Refs of the stages, one a template."""
    return [rt.start(template) for template in templates]


# -- the three kinds ------------------------------------------------------------------------------


def test_a_stage_is_one_of_three_kinds_by_its_base_class():
    """GenStage 1. What it is, its class says; so what it may do is the same in every start of it."""
    rt = ff.Runtime()
    producer, both, consumer = started(rt, Push(), Same(), Recorder())

    both.subscribe(producer, max_demand=10)
    consumer.subscribe(both, max_demand=10)
    with pytest.raises(GraphError):
        producer.subscribe(both)
    with pytest.raises(GraphError):
        both.subscribe(consumer)

    producer.cast([1, 2])
    settle(rt)
    assert [batch.tolist() for batch in stage_of(consumer).batches] == [[1, 2]]


def test_a_stage_that_is_none_of_the_three_is_refused():
    """GenStage 1. There is no fourth kind."""

    class Neither(ff.Stage):
        pass

    with pytest.raises((TypeError, FastflowError)):
        ff.Runtime().start(Neither())


# -- what comes of starting -----------------------------------------------------------------------


def test_a_setup_that_raises_is_raised_by_start_and_leaves_nothing():
    """GenStage 2. Stop with a reason: the reason is an exception, and `start` raises it."""

    class Broken(Push):
        def setup(self):
            raise OSError("no such device")

    rt = ff.Runtime()
    other = rt.start(Push(), name="other")

    with pytest.raises(OSError, match="no such device"):
        rt.start(Broken(), name="broken")

    assert rt.start(Push(), name="broken").alive
    assert other.alive
    settle(rt)


def test_a_setup_that_finishes_ends_normally_without_a_turn():
    """GenStage 2. Ignore: it has nothing to do, and that is no failure."""

    class Nothing(Push):
        def setup(self):
            self.finish()

    rt, demands = ff.Runtime(), []

    ref = rt.start(Nothing(demands))
    seen = rt.start(Recorder(), subscribe_to=[ref])
    settle(rt)

    assert ref.join() == "normal"
    assert seen.result() == []
    assert demands == []


def test_a_constructor_that_returns_something_is_refused():
    """GenStage 3. Python refuses it itself."""

    class Odd(Push):
        def __init__(self):
            return 42  # noqa: PLE0101

    with pytest.raises(TypeError, match="should return None"):
        ff.Runtime().start(Odd())


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "right"), [("buffersize", "buffer_size"), ("dispatch", "dispatcher")])
def test_an_unknown_option_is_refused_and_names_the_nearest(wrong, right):
    """GenStage 5. Better: it says which one was meant."""
    with pytest.raises(OptionError, match=rf"'{wrong}'.*did you mean '{right}'"):
        ff.Runtime().start(Push(), **{wrong: 1})


@pytest.mark.parametrize(("option", "value"), [("buffer_size", 9), ("buffer_keep", "first"), ("dispatcher", "demand")])
def test_a_consumer_has_no_options_of_a_producer(option, value):
    """GenStage 5. Options are those of the kind: what never emits has neither buffer nor dispatcher."""
    with pytest.raises(OptionError, match=option):
        ff.Runtime().start(Recorder(), **{option: value})


def test_a_producer_does_not_subscribe():
    """GenStage 5. `subscribe_to` is for those that take events."""
    rt = ff.Runtime()
    producer = rt.start(Push())

    with pytest.raises((OptionError, GraphError), match="subscribe"):
        rt.start(Push(), subscribe_to=[producer])


@pytest.mark.parametrize("size", [-1, 1.5, True, "many"])
def test_a_buffer_size_that_is_no_count_is_refused(size):
    """GenStage 6. The text says what was got and what was expected."""
    with pytest.raises((TypeError, ValueError), match=rf"buffer_size.*got {re.escape(repr(size))}, expected"):
        ff.Runtime().start(Push(), buffer_size=size)


def test_a_buffer_of_size_zero_discards_what_nobody_asked_for():
    """GenStage 7. Better: it works, and what was discarded is counted."""
    rt = ff.Runtime()
    push, hand = rt.start(Push(), buffer_size=0), rt.start(Hand())
    subscription = hand.subscribe(push, max_demand=10)
    push.cast([1, 2])
    settle(rt)
    assert push.statistics()["discarded"] == 2

    subscription.ask(3)
    settle(rt)
    push.cast([3, 4, 5, 6])
    settle(rt)

    assert stage_of(hand).seen == [3, 4, 5]
    assert push.statistics()["discarded"] == 3
    assert push.estimate_buffered_count() == 0


@pytest.mark.parametrize("dispatcher", [42, "nonsense", object(), ["demand"], dict])
def test_a_dispatcher_that_is_none_is_refused(dispatcher):
    """GenStage 8. A dispatcher is a `Dispatcher` or the name of one."""
    with pytest.raises(OptionError, match=r"dispatcher.*expected"):
        ff.Runtime().start(Push(), dispatcher=dispatcher)


@pytest.mark.parametrize("dispatcher", ["demand", "broadcast", "DemandDispatcher()", "BroadcastDispatcher()"])
def test_a_dispatcher_is_given_by_name_or_as_an_object(dispatcher):
    """GenStage 8. The names are "demand" and "broadcast"."""
    rt = ff.Runtime()
    if dispatcher.endswith("()"):
        dispatcher = getattr(ff, dispatcher[:-2])()

    push = rt.start(Push(), dispatcher=dispatcher)
    seen = rt.start(Recorder(), subscribe_to=[push])
    push.cast([1, 2])
    settle(rt)

    assert stage_of(seen).batches[0].tolist() == [1, 2]


@pytest.mark.parametrize("keep", ["middle", None, 1, True])
def test_a_buffer_keeps_the_first_or_the_last(keep):
    """GenStage 9."""
    with pytest.raises((TypeError, ValueError), match=r"buffer_keep.*first.*last"):
        ff.Runtime().start(Push(), buffer_size=5, buffer_keep=keep)


def test_a_buffer_keeps_the_last_unless_told_otherwise():
    """GenStage 9."""
    rt = ff.Runtime()
    push = rt.start(Push(), buffer_size=3)
    push.cast([1, 2, 3, 4, 5])
    settle(rt)

    seen = rt.start(Recorder(), subscribe_to=[push])
    settle(rt)

    assert stage_of(seen).batches[0].tolist() == [3, 4, 5]


@pytest.mark.parametrize("hold", ["forward", 2, [True]])
def test_hold_is_true_or_false(hold):
    """GenStage 9. `hold` is GenStage's demand: true is accumulate, false, the default, is forward."""
    with pytest.raises(OptionError, match=r"hold.*expected"):
        ff.Runtime().start(Push(), hold=hold)


@pytest.mark.parametrize("subscribe_to", [42, "push", {"push": {}}, [42], [("push", 42)], [None]], ids=str)
def test_subscribe_to_is_a_list(subscribe_to):
    """GenStage 9. Of refs or names, or pairs of one and a dict of options; a bare name is a slip."""
    rt = ff.Runtime()
    rt.start(Push(), name="push")

    with pytest.raises((TypeError, FastflowError), match=r"subscribe"):
        rt.start(Recorder(), subscribe_to=subscribe_to)


def test_a_buffer_keeps_everything_by_default():
    """GenStage 10. Better: a producer's too, so nothing is discarded unless somebody said so."""
    rt = ff.Runtime()
    push = rt.start(Push())

    push.cast(np.arange(25_000))
    settle(rt)

    assert push.estimate_buffered_count() == 25_000
    assert push.statistics()["discarded"] == 0


def test_the_dispatcher_is_that_of_demand_by_default():
    """GenStage 10. The greatest demand is served first, and each event goes to one consumer."""
    rt = ff.Runtime()
    push, small, great = started(rt, Push(), Hand(), Hand())
    small.subscribe(push, max_demand=10).ask(2)
    great.subscribe(push, max_demand=10).ask(5)
    settle(rt)

    push.cast([1, 2, 3, 4, 5, 6, 7])
    settle(rt)

    assert stage_of(great).seen == [1, 2, 3, 4, 5]
    assert stage_of(small).seen == [6, 7]


# -- names, starting, templates -------------------------------------------------------------------


def test_a_name_that_is_taken_is_refused_and_disturbs_nothing():
    """GenStage 11. The error names the ref that has it."""
    rt = ff.Runtime()
    first = rt.start(Counter(0, 10), name="numbers")

    with pytest.raises(NameTaken, match=r"'numbers'") as taken:
        rt.start(Push(), name="numbers")

    assert repr(first) in str(taken.value)
    assert rt["numbers"] is first
    seen = rt.start(Recorder(), subscribe_to=["numbers"])
    settle(rt)
    assert flat(seen) == list(range(10))


def test_a_name_is_free_again_once_its_stage_has_ended():
    """GenStage 11. Taken is what a live stage has."""
    rt = ff.Runtime()
    first = rt.start(Push(), name="numbers")
    first.stop()

    second = rt.start(Push(), name="numbers")

    assert rt["numbers"] is second


def test_start_returns_when_the_stage_is_set_up_and_has_subscribed():
    """GenStage 12. What it asked for has been asked when `start` returns; no turn was needed."""
    rt, log = ff.Runtime(), []
    push = rt.start(Push())

    rt.start(Log(log), subscribe_to=[(push, dict(max_demand=7, tag="a"))])

    (subscription,) = rt.subscriptions()
    assert log == ["setup", ("subscribe", "producer", "a")]
    assert subscription.statistics()["asked"] == 7


def test_a_stage_survives_the_one_that_started_it():
    """GenStage 13. Better: no links to choose: a stage belongs to the runtime, and no failure is silent."""
    children = []

    class Parent(Hand):
        def handle_cast(self, rt):
            children.append(rt.start(Push()))

        def handle_info(self, message):
            raise LookupError(message)

    rt = ff.Runtime()
    parent = rt.start(Parent())
    parent.cast(rt)
    parent.info("on purpose")
    settle(rt)

    assert not parent.alive
    assert children[0].alive
    with pytest.raises(LookupError, match="on purpose"):
        rt.run()


def test_a_stage_that_is_constructed_is_the_specification_of_its_starts():
    """GenStage 14. Better: no child specification to write: the template remembers its arguments."""
    rt, template = ff.Runtime(), Counter(3, stop=6)

    refs = [rt.start(template, name=name) for name in ("one", "two")]
    seen = [rt.start(Recorder(), subscribe_to=[ref]) for ref in refs]
    settle(rt)

    assert [flat(recorder) for recorder in seen] == [[3, 4, 5]] * 2
    assert [ref.name for ref in refs] == ["one", "two"]
    assert template.next == 3
