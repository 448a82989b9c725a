"""What callbacks may return, what they may not, and what becomes of it."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_stage import Counter, Push, failure, failure_of_demand, flat

import fastflow as ff
from fastflow.errors import CallbackError, FastflowError, SchemaError
from fastflow.testing import ManualClock, Recorder, settle, stage_of


@pytest.mark.parametrize(
    "events",
    [
        np.arange(3),
        np.arange(6)[::2] // 2,
        np.arange(3)[::-1][::-1],
        np.array([0, 1, 2], dtype=">i8").astype("int64"),
        [0, 1, 2],
    ],
    ids=["array", "computed", "view", "cast", "list"],
)
def test_arrays_and_lists_may_be_returned(events):
    rt = ff.Runtime()
    producer, recorder = rt.start(Push()), rt.start(Recorder())
    recorder.subscribe(producer)

    producer.cast(events)
    settle(rt)

    assert [batch.tolist() for batch in stage_of(recorder).batches] == [[0, 1, 2]]


def test_strided_and_read_only_arrays_may_be_returned():
    base = np.arange(20)
    base.flags.writeable = False
    rt = ff.Runtime()
    producer, recorder = rt.start(Push()), rt.start(Recorder())
    recorder.subscribe(producer)

    for view in (base[::2], base[::-1], base[3:5], np.broadcast_to(np.int64(7), (3,))):
        producer.cast(view)
    settle(rt)

    got = np.concatenate(stage_of(recorder).batches).tolist()
    assert got == [*range(0, 20, 2), *range(19, -1, -1), 3, 4, 7, 7, 7]
    assert base.tolist() == list(range(20))


def test_an_array_that_was_returned_and_kept_is_not_changed_by_it_later():
    kept = np.arange(3)
    rt = ff.Runtime()
    producer, recorder = rt.start(Push()), rt.start(Recorder())
    producer.cast(kept)
    settle(rt)

    kept[:] = 99
    recorder.subscribe(producer)
    settle(rt)

    assert stage_of(recorder).batches[0].tolist() in ([0, 1, 2], [99, 99, 99])
    assert len(stage_of(recorder).batches) == 1


@pytest.mark.parametrize("columns", ["dict", "Batch", "structured"])
def test_columns_may_be_returned(columns):
    dtype = [("price", "f8"), ("qty", "i8")]
    price, qty = np.array([1.5, 2.5]), np.array([3, 4])
    if columns == "dict":
        events = {"price": price, "qty": qty}
    elif columns == "Batch":
        events = ff.Batch(price=price, qty=qty)
    else:
        events = np.array([(1.5, 3), (2.5, 4)], dtype=dtype)
    seen = []

    class Look(ff.Consumer):
        def handle_events(self, events, source):
            seen.append((type(events), events["price"].tolist(), events["qty"].tolist()))

    rt = ff.Runtime()
    producer = rt.start(Push(), dtype=dtype)
    rt.start(Look(), subscribe_to=[producer])
    producer.cast(events)
    settle(rt)

    assert seen == [(ff.Batch, [1.5, 2.5], [3, 4])]


def test_objects_come_as_lists():
    seen, things = [], [{"a": 1}, None, "text", [1, 2]]

    class Look(ff.Consumer):
        def handle_events(self, events, source):
            assert type(events) is list
            seen.extend(events)

    rt = ff.Runtime()
    producer = rt.start(Push(), dtype="object")
    rt.start(Look(), subscribe_to=[producer])
    producer.cast(things)
    settle(rt)

    assert seen == things
    assert seen[0] is things[0]


def test_events_are_read_only():
    class Writes(ff.Consumer):
        def handle_events(self, events, source):
            events[0] = 5

    error = failure(rt := ff.Runtime(), Writes(), subscribe_to=[rt.start(Counter(0, 5))])

    assert isinstance(error, ValueError)
    assert "read-only" in str(error)


def test_emit_comes_before_what_the_callback_returns():
    class Both(Push):
        def handle_cast(self, request):
            self.emit(np.array([1, 2]))
            self.emit([3])
            return np.array([4])

    rt = ff.Runtime()
    producer, recorder = rt.start(Both()), rt.start(Recorder())
    recorder.subscribe(producer)
    producer.cast("now")
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == [1, 2, 3, 4]


def test_events_may_be_emitted_from_any_callback():
    """GenStage 21."""

    class Talks(Push):
        def setup(self):
            self.after(1.0, "timer")

        def handle_subscribe(self, role, options, subscription):
            self.emit([10])
            return "automatic"

        def handle_info(self, message):
            return [20] if message == "timer" else [30]

        def handle_cast(self, request):
            self.emit([40])

        def handle_cancel(self, reason, subscription):
            self.emit([50])

    clock = ManualClock()
    rt = ff.Runtime(clock=clock)
    producer, recorder = rt.start(Talks()), rt.start(Recorder())
    recorder.subscribe(producer, max_demand=100)
    other = rt.start(Recorder()).subscribe(producer, max_demand=1, min_demand=0, cancel="temporary")
    settle(rt)
    clock.advance(1.0)
    settle(rt)
    producer.info("hello")
    producer.cast("hello")
    settle(rt)
    other.cancel("cancel")
    settle(rt)

    got = np.concatenate(stage_of(recorder).batches).tolist()
    assert sorted(got) == [10, 10, 20, 30, 40, 50]


@pytest.mark.parametrize(
    "bad",
    [
        5,
        2.5,
        True,
        "abc",
        b"abc",
        object(),
        {1, 2},
        np.array(5),
        np.int64(5),
        np.zeros((2, 3), "int64"),
        np.zeros(3),
        np.zeros(3, "complex128"),
        np.array(["a", "b"]),
        np.zeros(3, "M8[s]"),
        np.array([1, None]),
        np.ma.masked_array([1, 2, 3], mask=[0, 1, 0]),
        {"price": np.zeros(3)},
    ],
    ids=lambda bad: f"{type(bad).__name__}-{getattr(bad, 'dtype', '')}{getattr(bad, 'shape', '')}",
)
def test_what_cannot_be_events_ends_the_stage(bad):
    """GenStage 17."""
    reason = failure_of_demand(lambda stage, demand: bad)

    assert isinstance(reason, (CallbackError, SchemaError))
    assert "int64" in str(reason) or "events" in str(reason)


def test_a_wrong_dtype_is_named_with_the_right_one():
    reason = failure_of_demand(lambda stage, demand: np.zeros(3))

    assert "float64" in str(reason)
    assert "int64" in str(reason)


@pytest.mark.parametrize(
    "bad",
    [
        {"price": np.zeros(2)},
        {"price": np.zeros(2), "qty": np.zeros(3, "i8")},
        {"price": np.zeros(2), "qty": np.zeros(2, "i8"), "more": np.zeros(2)},
        {"price": np.zeros((2, 2)), "qty": np.zeros(2, "i8")},
        {"price": np.zeros(2), "quantity": np.zeros(2, "i8")},
        {"price": 1.0, "qty": 2},
        np.zeros(3),
    ],
    ids=["missing", "lengths", "extra", "2-D", "name", "scalars", "plain"],
)
def test_columns_that_do_not_fit_end_the_stage(bad):
    reason = failure_of_demand(lambda stage, demand: bad, dtype=[("price", "f8"), ("qty", "i8")])

    assert isinstance(reason, FastflowError)


def test_without_a_dtype_the_first_output_decides():
    outputs = [np.arange(2), np.arange(3), np.zeros(2)]
    seen = []

    class Look(ff.Consumer):
        def handle_events(self, events, source):
            seen.append(events.tolist())

    class Free(Push):
        dtype = None

    rt = ff.Runtime()
    producer = rt.start(Free())
    rt.start(Look(), subscribe_to=[(producer, dict(cancel="temporary"))])
    for output in outputs:
        producer.cast(output)
        settle(rt)

    assert seen == [[0, 1], [0, 1, 2]]
    reason = producer.join()
    assert isinstance(reason, (CallbackError, SchemaError))
    assert "float64" in str(reason)
    assert "int64" in str(reason)


def test_without_a_dtype_a_list_means_objects():
    class Free(Push):
        dtype = None

    seen = []

    class Look(ff.Consumer):
        def handle_events(self, events, source):
            seen.append(events)

    rt = ff.Runtime()
    producer = rt.start(Free())
    rt.start(Look(), subscribe_to=[producer])
    producer.cast([1, 2])
    settle(rt)

    assert seen == [[1, 2]]
    assert type(seen[0]) is list


def test_a_batch_may_be_passed_on_as_it_came():
    class Same(ff.ProducerConsumer):
        dtype = "int64"

        def handle_events(self, events, source):
            return events[: len(events) - 1] if len(events) > 1 else events

    rt = ff.Runtime()
    producer = rt.start(Counter(0, 1000))
    one = rt.start(Same(), subscribe_to=[(producer, dict(max_demand=100, min_demand=50))])
    two = rt.start(Same(), subscribe_to=[(one, dict(max_demand=98, min_demand=49))])
    recorder = rt.start(Recorder(), subscribe_to=[(two, dict(max_demand=10))])

    settle(rt)

    got = flat(recorder)
    assert got == sorted(set(got))
    assert 900 < len(got) < 1000
