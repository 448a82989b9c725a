"""Bad input to a subscription: views written to, demand that can't be, graphs that can't be.

An error must say what was got, what was expected and what to do, and where; what was delivered
before it stays delivered.  What stages emit, and must not, stands in `test_bad_input.py`.
"""

import numpy as np
import pytest
from helpers_bad_input import LARGEST, Sink, assert_clear, everything_said, numbers, resize

import fastflow as ff
from fastflow import errors, testing

# -- what a consumer does that it may not --


class Misbehaves(ff.Consumer):
    """Handles two batches, then does something to the third."""

    state = ("total",)

    def __init__(self, misbehave):
        self.misbehave = misbehave
        self.total = 0
        self.turns = 0

    def handle_events(self, events, source):
        self.total += int(events.sum())
        self.turns += 1
        if self.turns == 3:
            return self.misbehave(self, events)
        return None


def consumer_outcome(misbehave):
    """(error or None, the edge's counters, the committed total) of a consumer in batches of 50."""
    rt = ff.Runtime()
    consumer = rt.start(Misbehaves(misbehave), name="sink")
    edge = consumer.subscribe(rt.start(ff.Range(1000)), max_demand=100, min_demand=50)
    stage = testing.stage_of(consumer)
    testing.settle(rt)
    reason = consumer.join(timeout=0)
    if isinstance(reason, BaseException):
        with pytest.raises(type(reason)) as caught:
            consumer.result()
        assert caught.value is reason
        return reason, numbers(edge), stage.total
    return None, numbers(edge), stage.total


def write(stage, events):
    events[0] = 1


def sort(stage, events):
    events.sort()


def add(stage, events):
    events += 1


def write_out(stage, events):
    np.add(events, 1, out=events)


@pytest.mark.parametrize("misbehave", [resize, write, sort, add, write_out])
def test_a_consumer_that_writes_its_input_gets_an_error_and_its_turn_never_happened(misbehave):
    error, (_, sent, acked), total = consumer_outcome(misbehave)

    assert isinstance(error, ValueError)
    assert "sink" in everything_said(error)
    assert "handle_events" in everything_said(error)
    assert acked == 100
    assert sent >= 150
    assert total == sum(range(100))


def test_an_error_about_a_read_only_batch_says_what_to_do():
    error, _, _ = consumer_outcome(write)

    text = everything_said(error)
    assert "read-only" in text
    assert "copy" in text or "writable" in text


def test_events_that_a_consumer_returns_are_refused_or_dropped_and_its_input_is_whole():
    error, (_, _, acked), total = consumer_outcome(lambda stage, events: events + 1)

    if error is None:
        assert (acked, total) == (1000, sum(range(1000)))
    else:
        assert_clear(error, "sink", "handle_events")
        assert (acked, total) == (100, sum(range(100)))


def test_a_consumer_that_emits_is_refused():
    error, (_, _, acked), _ = consumer_outcome(lambda stage, events: stage.emit(events + 1))

    assert isinstance(error, errors.FastflowError)
    assert acked == 100


def test_the_note_names_stage_callback_source_and_positions():
    error, _, _ = consumer_outcome(lambda stage, events: 1 // 0)

    assert isinstance(error, ZeroDivisionError)
    note = "\n".join(error.__notes__)
    for word in ("sink", "handle_events", "Range", "100"):
        assert word in note, note
    assert "149" in note or "150" in note, note         # the last event, or the one after it


def test_the_traceback_shows_the_users_frames_and_not_ours():
    error, _, _ = consumer_outcome(lambda stage, events: 1 // 0)

    files = []
    traceback = error.__traceback__
    while traceback is not None:
        files.append(traceback.tb_frame.f_code.co_filename)
        traceback = traceback.tb_next

    assert files[-1] == __file__
    # One frame of ours may lead in: that of result() itself, which the user called.
    assert sum("fastflow" in file and "tests" not in file for file in files) <= 1


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "raised",
    [
        StopIteration("early"),
        GeneratorExit("out of a callback"),
        RecursionError("deep"),
        MemoryError(),
        Unprintable(),
        ExceptionGroup("several", [ValueError("a"), TypeError("b")]),
        DeprecationWarning("as an error"),
        AssertionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_exception_ends_its_stage_and_is_raised_by_result(raised):
    def fail(stage, events):
        raise raised

    rt = ff.Runtime()
    consumer = rt.start(Misbehaves(fail), name="sink")
    edge = consumer.subscribe(rt.start(ff.Range(1000)), max_demand=100, min_demand=50)
    testing.settle(rt)

    with pytest.raises(type(raised)) as caught:
        consumer.result()

    assert caught.value is raised
    assert numbers(edge)[2] == 100


# -- demand --


def subscribed(**options):
    rt = ff.Runtime()
    came = []
    sink = rt.start(Sink(came), name="sink")
    edge = sink.subscribe(rt.start(ff.Range(100), name="numbers"), **options)
    testing.settle(rt)
    return sink, edge, came


BAD_DEMANDS = {
    "max 0": {"max_demand": 0},
    "max -1": {"max_demand": -1},
    "max beyond int64": {"max_demand": 2**63},
    "max a fraction": {"max_demand": 1.5},
    "max a bool": {"max_demand": True},
    "max infinite": {"max_demand": float("inf")},
    "max a str": {"max_demand": "100"},
    "min = max": {"max_demand": 10, "min_demand": 10},
    "min > max": {"max_demand": 10, "min_demand": 11},
    "min -1": {"max_demand": 10, "min_demand": -1},
    "min a fraction": {"max_demand": 10, "min_demand": 0.5},
    "min a bool": {"max_demand": 10, "min_demand": True},
    "min beyond int64": {"max_demand": 10, "min_demand": 2**63},
    "cancel unknown": {"cancel": "sometimes"},
}


@pytest.mark.parametrize("bad", BAD_DEMANDS)
def test_a_demand_that_cannot_be_is_refused_where_it_is_given(bad):
    options = BAD_DEMANDS[bad]

    with pytest.raises((ValueError, TypeError)) as caught:
        subscribed(**options)

    assert isinstance(caught.value, errors.FastflowError)
    text = everything_said(caught.value)
    assert any(name in text for name in options)
    assert str(next(reversed(options.values()))) in text


def test_a_demand_whose_bytes_no_machine_has_is_an_error_and_no_crash():
    def try_it():
        sink, _, _ = subscribed(max_demand=LARGEST)
        sink.result()

    with pytest.raises((ValueError, MemoryError, OverflowError)):
        try_it()


@pytest.mark.parametrize("number", [np.int64(10), np.uint8(10), np.int32(10)])
def test_a_numpy_integer_is_a_number(number):
    sink, edge, came = subscribed(max_demand=number, min_demand=number // 2)

    assert sink.join(timeout=0) == "normal"
    assert np.concatenate(came).tolist() == list(range(100))
    assert max(map(len, came)) == 5
    assert numbers(edge)[1:] == (100, 100)


def test_a_demand_of_one_event_goes_event_by_event():
    _, _, came = subscribed(max_demand=1)

    assert [batch.tolist() for batch in came] == [[i] for i in range(100)]


def test_an_unknown_subscription_option_names_the_nearest():
    with pytest.raises(TypeError, match="max_demand"):
        subscribed(max_demnad=10)


class Manual(Sink):
    def handle_subscribe(self, role, options, subscription):
        return "manual"


def manual():
    """A manual subscription that nobody has asked by: (runtime, edge, what comes)."""
    rt = ff.Runtime()
    came = []
    sink = rt.start(Manual(came), name="sink")
    edge = sink.subscribe(rt.start(ff.Range(10**6)), max_demand=100)
    testing.settle(rt)
    assert came == []
    return rt, edge, came


@pytest.mark.parametrize(
    ("n", "error"),
    [
        (-1, ValueError),
        (-(2**63), ValueError),
        (-(2**70), (ValueError, OverflowError)),
        (1.5, TypeError),
        (2.0, TypeError),
        (True, TypeError),
        (np.True_, TypeError),
        (float("nan"), TypeError),
        ("5", TypeError),
        (None, TypeError),
    ],
    ids=str,
)
def test_an_ask_that_is_no_count_is_refused_at_the_caller_and_the_stream_goes_on(n, error):
    rt, edge, came = manual()
    edge.ask(3)
    testing.settle(rt)

    with pytest.raises(error, match="ask"):
        edge.ask(n)

    testing.settle(rt)
    assert np.concatenate(came).tolist() == [0, 1, 2]
    edge.ask(2)
    testing.settle(rt)
    assert np.concatenate(came).tolist() == [0, 1, 2, 3, 4]
    assert numbers(edge) == (5, 5, 5)


def test_asking_for_nothing_does_nothing():
    rt, edge, came = manual()

    edge.ask(0)

    testing.settle(rt)
    assert came == []
    assert numbers(edge) == (0, 0, 0)


def test_asks_from_one_to_a_hundred_add_up():
    rt, edge, came = manual()

    for n in range(1, 101):
        edge.ask(n)
    testing.settle(rt)

    assert sum(map(len, came)) == 5050
    assert numbers(edge)[1:] == (5050, 5050)


def test_asks_beyond_all_numbers_saturate():
    rt = ff.Runtime()
    came = []
    sink = rt.start(Manual(came), name="sink")
    edge = sink.subscribe(rt.start(ff.Range(1000)), max_demand=100)

    edge.ask(LARGEST)
    edge.ask(LARGEST)
    testing.settle(rt)

    assert np.concatenate(came).tolist() == list(range(1000))
    assert sink.join(timeout=0) == "normal"


@pytest.mark.parametrize("n", [2**63, 2**64, 2**70])
def test_an_ask_beyond_int64_saturates_or_is_refused(n):
    rt, edge, came = manual()

    try:
        edge.ask(n)
    except (ValueError, OverflowError):
        edge.ask(10**6)
    testing.settle(rt)

    assert sum(map(len, came)) == 10**6


def test_a_numpy_integer_can_be_asked_for():
    rt, edge, came = manual()

    edge.ask(np.int64(7))
    testing.settle(rt)

    assert sum(map(len, came)) == 7


def test_an_ask_after_a_cancel_does_nothing():
    rt, edge, came = manual()
    edge.ask(5)
    testing.settle(rt)
    edge.cancel("enough")
    testing.settle(rt)

    edge.ask(5)
    testing.settle(rt)

    assert sum(map(len, came)) == 5


# -- graphs --


def test_a_producer_cannot_subscribe():
    rt = ff.Runtime()
    left, right = rt.start(ff.Range(5), name="left"), rt.start(ff.Range(5), name="right")

    with pytest.raises(ff.GraphError, match="left"):
        left.subscribe(right)


def test_a_consumer_cannot_be_subscribed_to():
    rt = ff.Runtime()
    left, right = rt.start(ff.Sum(), name="left"), rt.start(ff.Sum(), name="right")

    with pytest.raises(ff.GraphError, match="right"):
        left.subscribe(right)


def test_a_stage_cannot_subscribe_to_itself():
    rt = ff.Runtime()
    stage = rt.start(ff.Map(lambda batch: batch), name="loop")

    with pytest.raises(ff.GraphError, match="loop"):
        stage.subscribe(stage)


def test_a_cycle_is_refused_and_what_stands_goes_on():
    rt = ff.Runtime()
    source = rt.start(ff.Range(1000))
    first = rt.start(ff.Map(lambda batch: batch), subscribe_to=[source], name="first")
    second = rt.start(ff.Map(lambda batch: batch), subscribe_to=[first], name="second")
    rt.start(ff.Sum(), subscribe_to=[second], name="sum")

    with pytest.raises(ff.GraphError, match="first") as caught:
        first.subscribe(second)

    assert "second" in str(caught.value)
    assert rt.run(timeout=30)["sum"] == sum(range(1000))


def test_a_name_is_taken_once():
    rt = ff.Runtime()
    kept = rt.start(ff.Range(5), name="numbers")

    with pytest.raises(ff.NameTaken, match="numbers"):
        rt.start(ff.Range(7), name="numbers")

    assert rt["numbers"].name == kept.name == "numbers"


def test_one_template_started_twice_is_two_stages():
    rt = ff.Runtime()
    template = ff.Sum()
    for name, stop in (("small", 10), ("large", 1000)):
        rt.start(template, subscribe_to=[rt.start(ff.Range(stop))], name=name)

    assert rt.run(timeout=30) == {"small": sum(range(10)), "large": sum(range(1000))}


@pytest.mark.parametrize(
    "to",
    [None, 5, "nobody", object(), ff.Range(5)],
    ids=["None", "a number", "an unknown name", "an object", "a template"],
)
def test_what_is_no_stage_of_the_runtime_cannot_be_subscribed_to(to):
    rt = ff.Runtime()
    consumer = rt.start(ff.Sum(), name="sum")

    with pytest.raises((TypeError, ValueError, LookupError)):
        consumer.subscribe(to)


@pytest.mark.parametrize(
    "stage", [None, 5, ff.Sum, "Sum"], ids=["None", "a number", "a class", "a str"]
)
def test_what_is_no_stage_cannot_be_started(stage):
    with pytest.raises(TypeError):
        ff.Runtime().start(stage)


class FailsInItsPlace(ff.Consumer):
    constructed = 0

    def __init__(self):
        type(self).constructed += 1
        if type(self).constructed > 1:
            raise ZeroDivisionError("in its place")


def test_a_constructor_that_fails_in_its_place_is_no_silence():
    FailsInItsPlace.constructed = 0
    rt = ff.Runtime()

    def start_and_fetch():
        ref = rt.start(FailsInItsPlace(), name="fails")
        testing.settle(rt)
        ref.result()

    with pytest.raises(ZeroDivisionError, match="in its place"):
        start_and_fetch()


@pytest.mark.parametrize(
    "name", ["result", "handle_events", "after", "terminate", "handled", "subscribe_to", "name"]
)
def test_an_attribute_that_hides_something_of_the_base_class_is_refused_by_name(name):
    class Hides(ff.Consumer):
        def __init__(self, hidden):
            if hidden is not None:
                vars(self)[hidden] = 0

        def handle_events(self, events, source):
            pass

    def start_and_fetch():
        rt = ff.Runtime()
        ref = rt.start(Hides(name))
        testing.settle(rt)
        ref.result()

    with pytest.raises((TypeError, ValueError, RuntimeError, AttributeError), match=name):
        start_and_fetch()


def test_an_attribute_that_hides_a_method_is_found_after_setup_too():
    class Hides(ff.Consumer):
        def setup(self):
            self.result = 0

        def handle_events(self, events, source):
            pass

    rt = ff.Runtime()

    def start_and_fetch():
        ref = rt.start(Hides(), name="hides")
        testing.settle(rt)
        ref.result()

    with pytest.raises((TypeError, ValueError, RuntimeError, AttributeError), match="result"):
        start_and_fetch()


def test_starting_after_the_end_is_refused():
    rt = ff.Runtime()
    rt.run(timeout=10)

    with pytest.raises(ff.Closed):
        rt.start(ff.Range(5))


def test_starting_after_the_block_is_refused():
    with ff.Runtime() as rt:
        pass

    with pytest.raises(ff.Closed):
        rt.start(ff.Range(5))


@pytest.mark.parametrize(
    "option", ["workers", "isolate", "ordered", "on_error", "dtpye", "max_demand"]
)
def test_an_unknown_option_of_start_is_refused_by_name(option):
    with pytest.raises(TypeError, match=option):
        ff.Runtime().start(ff.Range(5), **{option: 2})


def test_an_unknown_option_of_start_names_the_nearest():
    with pytest.raises(TypeError, match="buffer_size"):
        ff.Runtime().start(ff.Range(5), bufer_size=2)
