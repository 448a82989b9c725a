"""Callbacks, what they return, and calls from outside: GenStage 15 to 38."""

from __future__ import annotations

import inspect
import logging
import re

import numpy as np
import pytest
from helpers_demand import Counter, Hand, Push, Record
from helpers_stage import Log, flat

import fastflow as ff
from fastflow import telemetry
from fastflow.errors import CallbackError, Closed, FastflowError, SchemaError, WaitTimeout
from fastflow.testing import ManualClock, Recorder, Script, settle, stage_of, step

WAIT = 20.0  # seconds: a deadline, never a pause


class Emits(ff.Producer):
    """Emits from every callback that it has: what it is told."""

    dtype = "int64"

    def handle_demand(self, demand):
        return None

    def handle_cast(self, request):
        return request

    def handle_info(self, message):
        return message

    def handle_call(self, request, reply):
        self.emit(request)
        return len(request)

    def handle_cancel(self, reason, subscription):
        return [99]


class Answers(Hand):
    """Answers calls in the ways there are."""

    def __init__(self):
        self.seen, self.replies, self.turns = [], [], []

    def handle_call(self, request, reply):
        self.turns.append(request)
        match request:
            case "now":
                return "now"
            case "by hand":
                reply("by hand")
            case "stop":
                self.finish()
                return "stopped"
            case "reply, then fail":
                reply("never heard")
                raise ZeroDivisionError("on purpose")
            case _:
                self.replies.append(reply)
        return ff.LATER

    def handle_cast(self, request):
        for reply in self.replies:
            reply(request)
        self.replies = []


# -- which there are, and which must be -----------------------------------------------------------


def test_only_handle_events_must_be_defined():
    """GenStage 15. Better: handle_demand is optional too, for who emits from other callbacks."""

    class Told(ff.Producer):
        dtype = "int64"

        def handle_cast(self, request):
            return request

    class Bare(ff.Consumer):
        pass

    rt = ff.Runtime()
    told, seen = rt.start(Told()), rt.start(Recorder())
    seen.subscribe(told, max_demand=10)
    told.cast([1, 2])
    settle(rt)
    assert stage_of(seen).batches[0].tolist() == [1, 2]

    with pytest.raises(FastflowError, match=r"Bare.*handle_events"):
        rt.start(Bare(), subscribe_to=[told])


def test_every_other_callback_is_optional():
    """GenStage 15. A stage of two lines goes through subscribing, events, a message, a cancel and its end."""

    class Least(ff.Consumer):
        def handle_events(self, events, source):
            return None

    rt = ff.Runtime()
    push, least = rt.start(Push()), rt.start(Least())
    subscription = least.subscribe(push, cancel="temporary")
    push.cast([1])
    settle(rt)
    subscription.cancel("cancel")
    settle(rt)
    least.stop()

    assert least.join() == "shutdown"
    assert least.result() is None


def test_what_a_callback_returns_is_events_or_none():
    """GenStage 16. No tuples: events, or None; state is self; the end is finish() or an exception."""

    class Three(ff.Producer):
        dtype = "int64"

        def __init__(self):
            self.turn = 0

        def handle_demand(self, demand):
            self.turn += 1
            match self.turn:
                case 1:
                    return [1]
                case 2:
                    return np.array([2, 3])
                case _:
                    self.finish()
                    return None

    rt = ff.Runtime()
    three = rt.start(Three())
    seen = rt.start(Recorder(), subscribe_to=[(three, dict(max_demand=10))])
    settle(rt)

    assert flat(seen) == [1, 2, 3]
    assert three.join() == "normal"


@pytest.mark.parametrize("value", [42, ("noreply", [1]), "events", object(), [[1], [2, 3]], {"a": [1]}], ids=repr)
def test_what_is_no_events_ends_the_stage_with_an_error(value):
    """GenStage 17. The error says what was got and in which callback."""

    class Odd(ff.Producer):
        dtype = "int64"

        def handle_demand(self, demand):
            return value

    rt = ff.Runtime()
    odd = rt.start(Odd(), name="odd")
    seen = rt.start(Recorder(), subscribe_to=[(odd, dict(cancel="temporary"))])
    settle(rt)

    error = odd.join()
    assert isinstance(error, (SchemaError, CallbackError))
    assert re.search("got .*expected", str(error), re.DOTALL)
    assert "'odd'" in error.__notes__[0] and "handle_demand" in error.__notes__[0]
    assert stage_of(seen).batches == []


def test_what_a_consumer_returns_is_dropped_with_an_error_in_the_log(caplog):
    """GenStage 18. Logged once, not at every batch; the consumer lives on."""
    handled = []

    class Returns(ff.Consumer):
        def handle_events(self, events, source):
            handled.append(events.tolist())
            return events

    rt = ff.Runtime()
    returns = rt.start(Returns(), name="returns")
    returns.subscribe(rt.start(Counter(4, chunk=2)), max_demand=4)
    with caplog.at_level(logging.ERROR, "fastflow"):
        settle(rt)

    assert handled == [[0, 1], [2, 3]]
    assert returns.join() == "normal"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "returns" in record.getMessage()


def test_a_message_without_handle_info_is_dropped_with_a_warning(caplog):
    """GenStage 19. The stage goes on."""
    rt = ff.Runtime()
    hand = rt.start(Hand(), name="hand")

    with caplog.at_level(logging.WARNING, "fastflow"):
        hand.info("anybody there")
        settle(rt)

    assert hand.alive
    assert "'anybody there'" in caplog.text and "handle_info" in caplog.text


def test_a_cast_without_handle_cast_ends_the_stage():
    """GenStage 19. Nobody else would hear of it."""
    rt = ff.Runtime()
    hand = rt.start(Hand())
    hand.cast("anybody there")
    settle(rt)

    error = hand.join()
    assert isinstance(error, FastflowError)
    assert "'anybody there'" in str(error) and "handle_cast" in str(error)


def test_a_call_without_handle_call_is_the_callers_error():
    """GenStage 19. Better: the caller is told, and the stage, which did nothing wrong, goes on."""
    with ff.Runtime() as rt:
        hand = rt.start(Hand())
        with pytest.raises(CallbackError, match=r"'anybody there'.*handle_call"):
            hand.call("anybody there", timeout=WAIT)
        assert hand.alive


def test_without_handle_subscribe_demand_is_automatic_and_without_handle_cancel_nothing_happens():
    """GenStage 20."""
    rt, batches = ff.Runtime(), []
    push, record = rt.start(Push()), rt.start(Record(batches))

    subscription = record.subscribe(push, max_demand=10, cancel="temporary")
    settle(rt)
    assert subscription.statistics()["asked"] == 10
    subscription.cancel("cancel")
    settle(rt)

    assert push.alive and record.alive
    assert subscription.closed


# -- emitting -------------------------------------------------------------------------------------


def test_every_callback_may_emit_and_all_go_the_same_way():
    """GenStage 21. In the order of the turns, to demand first and then to the buffer."""
    with ff.Runtime() as rt:
        emits, hand, other = rt.start(Emits()), rt.start(Hand()), rt.start(Hand())
        subscription = hand.subscribe(emits, max_demand=100)
        leaves = other.subscribe(emits, max_demand=10, cancel="temporary")
        subscription.ask(5)
        emits.cast([1, 2])
        emits.info([3])
        assert emits.call([4], timeout=WAIT) == 1
        leaves.cancel("cancel")
        emits.cast([5, 6])
        assert emits.call([], timeout=WAIT) == 0
        assert emits.estimate_buffered_count() == 2
        subscription.ask(10)
        seen = stage_of(hand).seen

    assert seen == [1, 2, 3, 4, 99, 5, 6]


def test_what_is_emitted_comes_before_what_is_returned():
    """GenStage 21. In one turn: first `emit`, in order, then the return value."""

    class Both(Push):
        def handle_cast(self, request):
            self.emit([1])
            self.emit([2, 3])
            return [4]

    rt = ff.Runtime()
    both, hand = rt.start(Both()), rt.start(Hand())
    hand.subscribe(both, max_demand=10).ask(10)
    both.cast("go")
    settle(rt)

    assert stage_of(hand).seen == [1, 2, 3, 4]


def test_events_of_a_call_have_left_when_its_answer_arrives():
    """GenStage 22. First the events, then the reply."""
    with ff.Runtime() as rt:
        emits, hand = rt.start(Emits()), rt.start(Hand())
        subscription = hand.subscribe(emits, max_demand=10)
        subscription.ask(10)

        assert emits.call([1, 2, 3], timeout=WAIT) == 3

        assert subscription.statistics()["sent"] == 3


def test_a_call_may_be_answered_before_its_events_come():
    """GenStage 22. First the reply, then, in a later turn, the events."""

    class Later(Push):
        def handle_call(self, request, reply):
            self.timer = self.after(60, request)
            return "they will come"

        def handle_info(self, message):
            return message

        def handle_cast(self, request):
            self.timer.cancel()
            return request

    clock = ManualClock()
    with ff.Runtime(clock=clock) as rt:
        later, hand = rt.start(Later()), rt.start(Hand())
        subscription = hand.subscribe(later, max_demand=10)
        subscription.ask(10)

        assert later.call([1, 2, 3], timeout=WAIT) == "they will come"
        assert subscription.statistics()["sent"] == 0

        later.cast([4])

    assert stage_of(hand).seen == [4]


def test_a_reply_by_hand_in_the_callback_is_an_answer():
    """GenStage 22. Also later, from another callback."""
    with ff.Runtime() as rt:
        answers = rt.start(Answers())
        assert answers.call("by hand", timeout=WAIT) == "by hand"
        assert answers.call("now", timeout=WAIT) == "now"


def test_a_reply_leaves_only_when_its_turn_is_committed():
    """GenStage 22. Better: nobody hears of a turn that never happened."""
    with ff.Runtime() as rt:
        answers = rt.start(Answers())
        with pytest.raises((Closed, ZeroDivisionError)):
            answers.call("reply, then fail", timeout=WAIT)
        assert isinstance(answers.join(WAIT), ZeroDivisionError)


def test_a_call_may_end_the_stage_and_is_answered():
    """GenStage 23."""
    with ff.Runtime() as rt:
        answers = rt.start(Answers())

        assert answers.call("stop", timeout=WAIT) == "stopped"

        assert answers.join(WAIT) == "normal"


# -- handle_demand --------------------------------------------------------------------------------


def test_handle_demand_gets_a_positive_integer():
    """GenStage 24. Never 0: without demand it is not called."""
    rt, demands = ff.Runtime(), []
    push, hand = rt.start(Push(demands)), rt.start(Hand())
    subscription = hand.subscribe(push, max_demand=10)
    subscription.ask(0)
    settle(rt)
    push.cast([1])
    settle(rt)
    assert demands == []

    subscription.ask(1)
    subscription.ask(3)
    settle(rt)

    assert demands == [3]
    assert type(demands[0]) is int


def test_handle_demand_of_a_producer_consumer_is_called_when_defined():
    """GenStage 24. Better: optional there, with all that is asked and not yet sent; it may emit."""
    demands = []

    class Fills(ff.ProducerConsumer):
        dtype = "int64"

        def handle_demand(self, demand):
            demands.append(demand)
            return [-demand] if demand == 4 else None

        def handle_events(self, events, source):
            return events

    rt = ff.Runtime()
    push, fills, hand = rt.start(Push()), rt.start(Fills()), rt.start(Hand())
    fills.subscribe(push, max_demand=10)
    subscription = hand.subscribe(fills, max_demand=10)
    settle(rt)
    assert demands == []

    subscription.ask(2)
    settle(rt)
    subscription.ask(2)
    settle(rt)
    assert demands == [2, 4, 3]
    push.cast([1])
    settle(rt)

    assert stage_of(hand).seen == [-4, 1]


def test_demand_of_several_consumers_comes_as_one_number():
    """GenStage 25. Who asked is the dispatcher's to know: a `Dispatcher` of your own is told."""
    rt, demands = ff.Runtime(), []
    push, one, two = rt.start(Push(demands)), rt.start(Hand()), rt.start(Hand())

    one.subscribe(push, max_demand=10).ask(3)
    two.subscribe(push, max_demand=10).ask(4)
    settle(rt)

    assert demands == [7]


def test_demand_that_was_not_answered_is_not_forgotten():
    """GenStage 26. Better: handle_demand gets all that is asked and not yet sent, not the increment."""
    rt, demands = ff.Runtime(), []
    push, hand = rt.start(Push(demands)), rt.start(Hand())
    subscription = hand.subscribe(push, max_demand=10)
    subscription.ask(4)
    settle(rt)
    push.cast([1])
    settle(rt)

    subscription.ask(2)
    settle(rt)

    assert demands[0] == 4
    assert demands[-1] == 5
    assert stage_of(push).pending_demand == 5


def test_a_block_smaller_than_the_demand_does_not_stall_the_producer():
    """GenStage 26. Better: whoever emitted something and left demand is called again."""
    rt, demands = ff.Runtime(), []
    counter, hand = rt.start(Counter(100, chunk=3, demands=demands, ends=False)), rt.start(Hand())

    hand.subscribe(counter, max_demand=10).ask(8)
    settle(rt)

    assert demands == [8, 5, 2]
    assert stage_of(hand).seen == list(range(8))


def test_events_beyond_the_demand_are_used_before_more_are_asked_for():
    """GenStage 27. The buffer first; handle_demand gets the remainder, or is not called at all."""
    rt, demands = ff.Runtime(), []

    class Eager(Counter):
        def handle_demand(self, demand):
            super().handle_demand(demand)
            return list(range(self.next - demand, self.next)) + [100] * 6

    eager, hand = rt.start(Eager(1000, demands=demands)), rt.start(Hand())
    subscription = hand.subscribe(eager, max_demand=20)
    subscription.ask(4)
    settle(rt)
    assert demands == [4]
    assert eager.estimate_buffered_count() == 6

    subscription.ask(2)
    settle(rt)
    assert demands == [4]
    subscription.ask(7)
    settle(rt)

    assert demands == [4, 3]
    assert stage_of(hand).seen == [0, 1, 2, 3] + [100] * 6 + [4, 5, 6]


# -- how stages end -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["finish", "stop", "fail", "end of the runtime"])
def test_terminate_runs_once_whatever_the_end(how):
    """GenStage 28. Better: always, with nothing to set for it; `kill` alone leaves it out."""

    class Ends(Log):
        def handle_cast(self, request):
            if request == "finish":
                self.finish()
            if request == "fail":
                raise LookupError("on purpose")

    rt, log = ff.Runtime(), []
    ends = rt.start(Ends(log))
    ends.cast(how)
    settle(rt)
    if how == "stop":
        ends.stop()
    if how == "end of the runtime":
        rt.stop()

    reason = ends.join()
    assert log == ["setup", ("terminate", reason)]
    assert repr(reason) == {"finish": "'normal'", "fail": "LookupError('on purpose')"}.get(how, "'shutdown'")


def test_stop_returns_when_the_stage_has_ended():
    """GenStage 29. It runs terminate with the reason that was given."""
    rt, log = ff.Runtime(), []
    ref = rt.start(Log(log))

    ref.stop("normal")

    assert not ref.alive
    assert log == ["setup", ("terminate", "normal")]
    assert ref.join() == "normal"


def test_stop_ends_a_stage_of_a_busy_runtime():
    """GenStage 29. From another thread: after the turn under way."""
    with ff.Runtime() as rt:
        counter = rt.start(Counter(10**15, chunk=10))
        rt.start(ff.Sum(), subscribe_to=[(counter, dict(max_demand=100))])

        counter.stop(timeout=WAIT)

        assert not counter.alive
        assert counter.join(WAIT) == "shutdown"


def test_timers_of_a_stage_that_has_ended_keep_nobody_waiting():
    """GenStage 29. Nothing of a stopped stage is left: its timers go with it."""

    class Reminds(Hand):
        def setup(self):
            self.after(60, "a minute is over")

    clock = ManualClock()
    rt = ff.Runtime(clock=clock)
    rt.start(Reminds()).stop()

    rt.run()

    assert clock() == 0.0


def test_a_stage_that_was_killed_hears_nothing_of_it():
    """GenStage 28. `kill` ends it at once, without terminate; for its consumers that is abnormal."""
    rt, log = ff.Runtime(), []
    push, killed = rt.start(Push()), rt.start(Log(log))
    killed.subscribe(push)
    follows = rt.start(Log([]), subscribe_to=[push])

    killed.kill()
    push.kill("enough")
    settle(rt)

    assert log == ["setup", ("subscribe", "producer", None)]
    assert not killed.alive and not push.alive
    assert isinstance(killed.join(), ff.Killed)
    with pytest.raises(ff.Killed, match="enough"):
        push.result()
    assert isinstance(follows.join(), ff.Killed)
    rt.run()  # raises nothing: it was asked for


def test_a_stage_is_found_by_its_ref_or_its_name():
    """GenStage 30. Names are text, of one runtime."""
    rt = ff.Runtime()
    push = rt.start(Push(), name="push")
    one, two = rt.start(Hand()), rt.start(Hand())

    by_ref, by_name = one.subscribe(push), two.subscribe("push")

    assert rt["push"] is push
    assert by_ref.producer is by_name.producer is push
    with pytest.raises(KeyError, match="pusch"):
        rt["pusch"]


def test_subscribe_to_takes_refs_and_names_alone_or_with_options():
    """GenStage 31. Better: a pair can't be taken for a name, since a name is text."""
    rt = ff.Runtime()
    a = rt.start(Push(), name="a")
    rt.start(Push(), name="b")

    rt.start(Hand(), subscribe_to=[a, "b", (a, dict(tag=3)), ("b", dict(tag=4))])

    pairs = {(s.producer.name, s.tag) for s in rt.subscriptions()}
    assert pairs == {("a", None), ("b", None), ("a", 3), ("b", 4)}


# -- calls from outside ---------------------------------------------------------------------------


def test_a_call_waits_five_seconds_and_a_late_answer_is_dropped():
    """GenStage 32. The caller gets WaitTimeout; the answer to it is no answer to the next call."""
    assert inspect.signature(ff.Ref.call).parameters["timeout"].default == 5.0
    with ff.Runtime() as rt:
        answers = rt.start(Answers())
        with pytest.raises(WaitTimeout):
            answers.call("later", timeout=0.01)

        answers.cast("too late")

        assert answers.call("now", timeout=WAIT) == "now"
        assert stage_of(answers).replies == []


def test_a_cast_to_a_stage_that_has_ended_does_nothing():
    """GenStage 33. Nor does a message."""
    rt = ff.Runtime()
    push = rt.start(Push())
    push.stop()

    push.cast([1])
    push.info("anybody there")
    settle(rt)

    assert push.join() == "shutdown"


def test_a_call_to_a_stage_that_has_ended_is_an_error_at_once():
    """GenStage 34. So is subscribing a consumer that has ended."""
    with ff.Runtime() as rt:
        push, hand = rt.start(Push()), rt.start(Hand())
        hand.stop(timeout=WAIT)

        with pytest.raises(Closed, match="Hand-1"):
            hand.call("now", timeout=WAIT)
        with pytest.raises(Closed, match="Hand-1"):
            hand.subscribe(push)


def test_a_call_that_is_not_answered_before_the_end_is_an_error_at_once():
    """GenStage 34. Whoever waits is told, and doesn't wait for the time-out."""
    with ff.Runtime() as rt:
        answers = rt.start(Answers())
        with pytest.raises((Closed, ZeroDivisionError)):
            answers.call("reply, then fail", timeout=None)
        answers.join(WAIT)


# -- looking at it --------------------------------------------------------------------------------


def test_a_runtime_shows_its_stages_and_what_joins_them():
    """GenStage 35. repr(rt) is a table; refs and subscriptions say the rest."""
    rt = ff.Runtime()
    push = rt.start(Push(), name="numbers")
    same = rt.start(ff.Map(lambda x: x), name="same", subscribe_to=[push])
    hand = rt.start(Hand(), name="end")
    hand.subscribe(same, max_demand=10).ask(1)
    push.cast([1, 2, 3])
    settle(rt)

    table = repr(rt)
    for word in ("numbers", "same", "end", "producer", "producer_consumer", "consumer"):
        assert word in table
    assert [(s.producer.name, s.consumer.name) for s in rt.subscriptions()] == [("numbers", "same"), ("same", "end")]
    assert same.estimate_buffered_count() == 2
    assert "producer" in repr(push) and "running" in repr(push)


def test_counters_are_always_on():
    """GenStage 38. Better: every ref and subscription has them, at no cost an event."""
    rt = ff.Runtime()
    counter, hand = rt.start(Counter(100, chunk=2, ends=False)), rt.start(Hand())
    subscription = hand.subscribe(counter, max_demand=10)
    subscription.ask(6)
    for _ in range(4):
        step(rt)
    settle(rt)

    edge, source, sink = subscription.statistics(), counter.statistics(), hand.statistics()
    assert {name: edge[name] for name in ("asked", "sent", "acked", "buffered", "discarded")} == dict(
        asked=6, sent=6, acked=6, buffered=0, discarded=0
    )
    assert set(source) == {
        "asked", "sent", "acked", "emitted", "handled", "buffered", "discarded", "turns", "callback_seconds",
        "sampled_turns",
    }  # fmt: skip
    assert (source["asked"], source["sent"], source["acked"], source["emitted"]) == (0, 6, 6, 6)
    assert (source["handled"], source["buffered"], source["discarded"], source["turns"]) == (0, 0, 0, 3)
    assert sink["handled"] == 6 and sink["emitted"] == 0


def test_starts_ends_and_failures_can_be_listened_to():
    """GenStage 38. Better: telemetry is there."""
    heard = []

    def listener(event, measures, tags):
        heard.append((event, tags.get("stage")))

    class Fails(ff.Consumer):
        def handle_events(self, events, source):
            raise LookupError("on purpose")

    telemetry.listen(listener)
    try:
        with pytest.raises(LookupError):
            ff.run(Script([[1]], dtype="int64"), Fails())
    finally:
        telemetry.unlisten(listener)

    assert heard[:2] == [("stage.start", "Script-1"), ("stage.start", "Fails-1")]
    assert ("stage.failed", "Fails-1") in heard
