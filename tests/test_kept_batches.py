"""A batch that somebody keeps stays as it was, however it is kept and whatever comes after it.

The consumer here keeps its first batches in one of many ways, a long stream follows, and then each
of them must show what it showed.  What it must show is known from the position in the stream, not
from a copy taken at the time: a batch that was wrong from the start is found too.
"""

import gc
import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fastflow as ff
from fastflow import testing

# NumPy may one day warn that shape and dtype are set in place: that users do it is what is tested
# here.
pytestmark = pytest.mark.filterwarnings("ignore:.*etting the .*:DeprecationWarning")

EVENTS = 400_000
DEMAND = {"max_demand": 4096, "min_demand": 2048}   # deliveries of at most 2048: some 200 batches


# -- ways to keep a batch, and to look at it again --


class Subclass(np.ndarray):
    """What a library of units or of labels makes of an array."""


class Holder:
    """A DLPack capsule kept as it is, to be imported later."""

    def __init__(self, events):
        self.capsule = events.__dlpack__(max_version=(1, 0))

    def __dlpack__(self, **_):
        return self.capsule

    def __dlpack_device__(self):
        return (1, 0)                       # the CPU


def hold_in_a_generator(events):
    def frame(held):
        yield None
        yield held.copy()

    generator = frame(events)
    next(generator)
    return generator


def hold_in_a_traceback(events):
    def fail(held):
        raise LookupError(len(held))

    try:
        fail(events)
    except LookupError as error:
        return error


def look_into_a_traceback(error):
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_locals["held"]


class Thread(threading.Thread):
    """Holds a batch in a local variable until it is asked for it."""

    def __init__(self, events):
        super().__init__(daemon=True)
        self.arrived, self.wanted = threading.Event(), threading.Event()
        self.handed = [events]
        self.copy = None
        self.start()
        assert self.arrived.wait(30)

    def run(self):
        held = self.handed.pop()
        self.arrived.set()
        self.wanted.wait(50)
        self.copy = held.copy()

    def fetch(self):
        self.wanted.set()
        self.join(30)
        return self.copy


def with_a_new_shape(events):
    events.shape = (1, -1)
    return events


def with_a_new_dtype(events):
    events.dtype = np.uint8
    return events


def same(kept):
    return kept


def as_int64(kept):
    return np.asarray(kept).reshape(-1).view(np.int64)


WAYS = {                                    # name: (keep, look at it again as numbers)
    "view": (same, same),
    "another view": (lambda events: events.view(), same),
    "subclass": (lambda events: events.view(Subclass), np.asarray),
    "slice of all": (lambda events: events[:], same),
    "reshape": (lambda events: events.reshape(1, -1, 1), np.ravel),
    "transpose": (lambda events: events.T, same),
    "transpose of a reshape": (lambda events: events.reshape(1, -1).T, np.ravel),
    "other dtype": (lambda events: events.view(np.uint8), as_int64),
    "asarray": (np.asarray, same),
    "memoryview": (memoryview, np.asarray),
    "slice of a memoryview": (lambda events: memoryview(events)[:], np.asarray),
    "cast memoryview": (lambda events: memoryview(events).cast("B"), as_int64),
    "frombuffer": (lambda events: np.frombuffer(events, dtype=np.int64), same),
    "dlpack": (np.from_dlpack, same),
    "dlpack capsule": (Holder, np.from_dlpack),
    "flat iterator": (lambda events: events.flat, lambda flat: flat[:]),
    "inside an object array": (
        lambda events: np.array([events, None], dtype=object),
        lambda array: array[0],
    ),
    "closure": (lambda events: lambda: events, lambda closure: closure()),
    "bound method": (lambda events: events.copy, lambda method: method()),
    "cycle": (lambda events: [events, []], lambda pair: pair[0]),
    "thread": (Thread, Thread.fetch),
    "generator frame": (hold_in_a_generator, next),
    "traceback": (hold_in_a_traceback, look_into_a_traceback),
    "polars series": (lambda events: pl.Series("x", events), lambda series: series.to_numpy()),
    "polars frame": (
        lambda events: pl.DataFrame({"x": events}),
        lambda frame: frame["x"].to_numpy(),
    ),
    "polars slice": (lambda events: pl.Series("x", events)[:], lambda series: series.to_numpy()),
    "pandas series": (
        lambda events: pd.Series(events, copy=False),
        lambda series: series.to_numpy(),
    ),
    "pandas frame": (
        lambda events: pd.DataFrame({"x": events}, copy=False),
        lambda frame: frame["x"].to_numpy(),
    ),
    "set shape": (with_a_new_shape, np.ravel),
    "set dtype": (with_a_new_dtype, as_int64),
}

PARTS = {                                   # what is kept of 0 1 2 ...: (keep, what it must show)
    "slice": (lambda events: events[3:-2], lambda first, n: np.arange(first + 3, first + n - 2)),
    "step": (lambda events: events[::3], lambda first, n: np.arange(first, first + n, 3)),
    "reversed": (lambda events: events[::-1], lambda first, n: np.arange(first, first + n)[::-1]),
    "one event": (lambda events: events[5:6], lambda first, n: np.array([first + 5])),
    "zero dimensions": (lambda events: events[5, ...], lambda first, n: np.array(first + 5)),
    "nothing": (lambda events: events[:0], lambda first, n: np.arange(0)),
    "broadcast": (
        lambda events: np.broadcast_to(events, (3, len(events))),
        lambda first, n: np.arange(first, first + n) + np.zeros((3, 1), dtype=np.int64),
    ),
    "windows": (
        lambda events: np.lib.stride_tricks.sliding_window_view(events, 4),
        lambda first, n: np.arange(first, first + n - 3)[:, None] + np.arange(4),
    ),
}


class Keeper(ff.Consumer):
    """Keeps its first `most` batches in the way `how`; result: [(first event, length, kept)]."""

    def __init__(self, how, most=8):
        self.how, self.most = how, most
        self.kept = []
        self.seen = 0
        self.wrong = 0

    def handle_events(self, events, source):
        first, n = self.seen, len(events)
        if events.shape != (n,) or events.dtype != np.int64:
            raise AssertionError(f"a batch of shape {events.shape} and dtype {events.dtype}")
        self.wrong += int((events != np.arange(first, first + n)).sum())
        self.seen += n
        if len(self.kept) < self.most:
            self.kept.append((first, n, self.how(events)))

    def result(self):
        return self.seen, self.wrong, self.kept


# -- sources of 0 1 2 ...: native, in place, adopted, passed on --


class Counter(ff.Producer):
    """In place: each batch is claimed."""

    dtype = "int64"

    def __init__(self, stop):
        self.next, self.stop_at = 0, stop

    def handle_demand(self, demand):
        out = self.claim(min(demand, self.stop_at - self.next))
        ff.fill_range(out, self.next)
        self.next += len(out)
        if self.next == self.stop_at:
            self.finish()
        return out


class Fresh(Counter):
    """Adopted: each batch is an array of its own, to which nobody else has a reference."""

    def handle_demand(self, demand):
        first = self.next
        self.next = min(first + demand, self.stop_at)
        if self.next == self.stop_at:
            self.finish()
        return np.arange(first, self.next)


class PassOn(ff.ProducerConsumer):
    """Returns its input as it is."""

    dtype = "int64"

    def handle_events(self, events, source):
        return events


class PassOnAndKeep(ff.ProducerConsumer):
    """Returns its input as it is, and keeps some of it itself."""

    dtype = "int64"

    def __init__(self, into):
        self.into = into
        self.seen = 0

    def handle_events(self, events, source):
        if len(self.into) < 20:
            self.into.append((self.seen, len(events), events))
        self.seen += len(events)
        return events


def blocks(stop, size=5000):
    for first in range(0, stop, size):
        yield np.arange(first, min(first + size, stop))


SOURCES = {
    "native": lambda rt: rt.start(ff.Range(EVENTS)),
    "claimed": lambda rt: rt.start(Counter(EVENTS)),
    "adopted": lambda rt: rt.start(Fresh(EVENTS)),
    "iterable": lambda rt: rt.start(ff.FromIterable(blocks(EVENTS))),
    "passed on": lambda rt: rt.start(
        PassOn(), subscribe_to=[(rt.start(Counter(EVENTS)), DEMAND)]
    ),
    "passed on natively": lambda rt: rt.start(
        PassOn(), subscribe_to=[(rt.start(ff.Range(EVENTS)), DEMAND)]
    ),
    "mapped": lambda rt: rt.start(
        ff.Map(lambda batch: batch + 0), subscribe_to=[(rt.start(ff.Range(EVENTS)), DEMAND)]
    ),
}


def stream_into(consumer, source="native"):
    """Run a source into `consumer` to the end; returns the consumer's result."""
    rt = ff.Runtime()
    rt.start(consumer, subscribe_to=[(SOURCES[source](rt), DEMAND)], name="keeper")
    return rt.run(timeout=50)["keeper"]


def use_the_pool_again():
    """Fill segments that were given back with -1, and let them go again."""
    ff.run(Counter(EVENTS), lambda batch: batch * 0 - 1, ff.Sum())


def assert_kept(outcome, look=same, most=8):
    seen, wrong, kept = outcome
    assert (seen, wrong) == (EVENTS, 0)
    assert len(kept) == most
    for first, n, held in kept:
        np.testing.assert_array_equal(look(held), np.arange(first, first + n))


# -- each way of keeping --


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_kept_in_any_way_stays_as_it_was(way):
    keep, look = WAYS[way]

    outcome = stream_into(Keeper(keep))

    assert_kept(outcome, look)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_batch_stays_as_it_was(part):
    keep, expected = PARTS[part]

    seen, wrong, kept = stream_into(Keeper(keep))

    assert (seen, wrong) == (EVENTS, 0)
    for first, n, held in kept:
        np.testing.assert_array_equal(held, expected(first, n))


@pytest.mark.parametrize(
    "way", ["view", "memoryview", "dlpack", "traceback", "set shape", "set dtype"]
)
@pytest.mark.parametrize("source", SOURCES)
def test_a_batch_stays_as_it_was_wherever_it_came_from(source, way):
    keep, look = WAYS[way]

    outcome = stream_into(Keeper(keep), source)

    assert_kept(outcome, look)


@pytest.mark.parametrize("change", [with_a_new_shape, with_a_new_dtype])
@pytest.mark.parametrize("source", SOURCES)
def test_a_view_that_its_reader_changed_is_whole_again_for_the_next_batch(source, change):
    def change_and_let_go(events):
        change(events)

    seen, wrong, _ = stream_into(Keeper(change_and_let_go, most=10**9), source)

    assert (seen, wrong) == (EVENTS, 0)


def test_strides_that_its_reader_set_do_not_reach_the_next_batch():
    def set_strides(events):
        view = np.lib.stride_tricks.as_strided(events, strides=(0,))
        assert (view == events[0]).all()

    seen, wrong, _ = stream_into(Keeper(set_strides, most=10**9))

    assert (seen, wrong) == (EVENTS, 0)


def test_each_batch_that_is_kept_alternately_stays_as_it_was():
    # Kept and not kept in turn: a segment is given back while a part of it is still held.
    held = []

    def every_third(events):
        held.append(events if len(held) % 3 == 0 else None)

    seen, wrong, kept = stream_into(Keeper(every_third, most=10**9))

    assert (seen, wrong) == (EVENTS, 0)
    for (first, n, _), view in zip(kept, held, strict=True):
        assert view is None or (view == np.arange(first, first + n)).all()


def test_a_batch_that_is_let_go_later_makes_room_again():
    last = []

    def hold_five(events):
        last.append(events)
        if len(last) > 5:
            oldest = last.pop(0)
            expected = np.arange(oldest[0], oldest[0] + len(oldest))
            assert (oldest == expected).all()

    seen, wrong, _ = stream_into(Keeper(hold_five, most=10**9))

    assert (seen, wrong) == (EVENTS, 0)


def test_an_exception_caught_by_name_keeps_its_batch():
    class Careless(Keeper):
        def __init__(self):
            super().__init__(lambda events: None)
            self.caught = []

        def handle_events(self, events, source):
            first = self.seen
            try:
                super().handle_events(events, source)
                raise LookupError("after the batch was counted")
            except LookupError as error:
                if len(self.caught) < self.most:
                    self.caught.append((first, len(events), error))

        def result(self):
            return self.seen, self.wrong, self.caught

    seen, wrong, caught = stream_into(Careless())

    assert (seen, wrong, len(caught)) == (EVENTS, 0, 8)
    for first, n, error in caught:
        held = error.__traceback__.tb_frame.f_locals["events"]
        np.testing.assert_array_equal(held, np.arange(first, first + n))


# -- many, and for long --


def test_ten_thousand_kept_batches_stay_as_they_were():
    rt = ff.Runtime()
    source = rt.start(ff.Range(160_000))
    rt.start(
        Keeper(same, most=10**9),
        subscribe_to=[(source, {"max_demand": 32, "min_demand": 16})],
        name="keeper",
    )

    seen, wrong, kept = rt.run(timeout=50)["keeper"]

    assert (seen, wrong) == (160_000, 0)
    assert len(kept) >= 10_000
    assert max(n for _, n, _ in kept) <= 16
    np.testing.assert_array_equal(np.concatenate([held for _, _, held in kept]), np.arange(160_000))


@pytest.mark.parametrize("source", SOURCES)
def test_every_batch_of_a_stream_can_be_kept(source):
    seen, wrong, kept = stream_into(Keeper(same, most=10**9), source)

    assert (seen, wrong) == (EVENTS, 0)
    np.testing.assert_array_equal(np.concatenate([held for _, _, held in kept]), np.arange(EVENTS))


@pytest.mark.parametrize("source", SOURCES)
def test_kept_batches_outlive_their_runtime(source):
    rt = ff.Runtime()
    rt.start(Keeper(same), subscribe_to=[(SOURCES[source](rt), DEMAND)], name="keeper")
    outcome = rt.run(timeout=50)["keeper"]

    del rt
    gc.collect()
    use_the_pool_again()

    assert_kept(outcome)


def test_kept_batches_of_a_runtime_that_was_stopped_in_the_middle_stay_as_they_were():
    rt = ff.Runtime()
    keeper = rt.start(Keeper(same), subscribe_to=[(rt.start(ff.Range(10**9)), DEMAND)])
    for _ in range(60):
        testing.step(rt)
    stage = testing.stage_of(keeper)
    kept = list(stage.kept)
    assert kept
    rt.stop(timeout=30)

    del rt, keeper, stage
    gc.collect()
    use_the_pool_again()

    for first, n, held in kept:
        np.testing.assert_array_equal(held, np.arange(first, first + n))


# -- what a producer keeps --


class Scribbler(ff.Producer):
    """Writes -1 through a slice of each array that it claimed, after the array was published."""

    dtype = "int64"

    def __init__(self, stop, by):
        self.next, self.stop_at, self.by = 0, stop, by
        self.old = []

    def handle_demand(self, demand):
        for slice_of_an_old_claim in self.old:
            slice_of_an_old_claim[:] = -1
        out = self.claim(min(100, demand, self.stop_at - self.next))
        used = max(1, len(out) // 2) if self.by == "return a part" else len(out)
        ff.fill_range(out, self.next)
        if len(self.old) < 50:
            self.old.append(out[10:20])
        self.next += used
        if self.next == self.stop_at:
            self.finish()
        if self.by == "emit":
            self.emit(out)
            return None
        return out[:used]


@pytest.mark.parametrize("by", ["return", "return a part", "emit"])
def test_a_slice_of_a_claimed_array_written_after_it_was_published_changes_nothing(by):
    rt = ff.Runtime()
    source = rt.start(Scribbler(EVENTS // 10, by))
    rt.start(
        Keeper(same, most=10**9),
        # Deliveries of at most 10: most of what was published still waits while the slices are
        # written.
        subscribe_to=[(source, {"max_demand": 1000, "min_demand": 990})],
        name="keeper",
    )

    seen, wrong, kept = rt.run(timeout=50)["keeper"]

    assert (seen, wrong) == (EVENTS // 10, 0)
    np.testing.assert_array_equal(
        np.concatenate([held for _, _, held in kept]), np.arange(EVENTS // 10)
    )


class KeepsWhatItReturns(Fresh):
    """Returns fresh arrays that it also keeps, and overwrites later."""

    def __init__(self, stop):
        super().__init__(stop)
        self.old = []

    def handle_demand(self, demand):
        for array in self.old:
            array[:] = -1
        out = super().handle_demand(min(demand, 100))
        self.old = [*self.old[-20:], out]
        return out


def test_a_returned_array_that_its_producer_keeps_and_overwrites_changes_nothing():
    rt = ff.Runtime()
    source = rt.start(KeepsWhatItReturns(EVENTS // 10))
    rt.start(Keeper(same, most=50), subscribe_to=[(source, DEMAND)], name="keeper")

    seen, wrong, kept = rt.run(timeout=50)["keeper"]

    assert (seen, wrong) == (EVENTS // 10, 0)
    for first, n, held in kept:
        np.testing.assert_array_equal(held, np.arange(first, first + n))


def test_an_array_of_the_users_that_goes_through_a_pipeline_is_never_written():
    mine = np.arange(50_000)
    whole = mine.copy()

    total = ff.run(mine, lambda batch: batch, ff.Sum())
    again = ff.run([mine, mine[::2], mine[100:]], lambda batch: batch + 1, ff.Count())

    assert total == whole.sum()
    assert again == 50_000 + 25_000 + 49_900
    np.testing.assert_array_equal(mine, whole)
    assert mine.flags.writeable


# -- input that is passed on --


@pytest.mark.parametrize("source", ["native", "claimed", "adopted"])
def test_input_that_two_stages_pass_on_and_everybody_keeps_stays_as_it_was(source):
    kept_first, kept_second = [], []
    rt = ff.Runtime()
    first = rt.start(PassOnAndKeep(kept_first), subscribe_to=[(SOURCES[source](rt), DEMAND)])
    second = rt.start(PassOnAndKeep(kept_second), subscribe_to=[(first, DEMAND)])
    rt.start(Keeper(same, most=30), subscribe_to=[(second, DEMAND)], name="keeper")

    outcome = rt.run(timeout=50)["keeper"]

    assert_kept(outcome, most=30)
    assert len(kept_first) == len(kept_second) == 20
    for begin, n, held in kept_first + kept_second:
        np.testing.assert_array_equal(held, np.arange(begin, begin + n))


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(lambda batch: batch[:-1], id="all but the last"),
        pytest.param(lambda batch: batch[1:], id="all but the first"),
        pytest.param(lambda batch: batch[::2], id="every second"),
        pytest.param(lambda batch: batch[::-1], id="reversed"),
    ],
)
def test_a_part_of_the_input_that_is_passed_on_and_kept_stays_as_it_was(part):
    expected = []

    def cut(batch):
        expected.append(part(batch).copy())
        return part(batch)

    kept = list(ff.stream(ff.Range(EVENTS), cut))

    np.testing.assert_array_equal(np.concatenate(kept), np.concatenate(expected))


def test_input_passed_on_to_two_consumers_stays_as_it_was_in_both():
    rt = ff.Runtime()
    middle = rt.start(PassOn(), subscribe_to=[(rt.start(ff.Range(EVENTS)), DEMAND)])
    small = {"max_demand": 200, "min_demand": 100}
    for name in ("left", "right"):
        rt.start(testing.Recorder(), subscribe_to=[(middle, small)], name=f"{name} copies")
        rt.start(Views(), subscribe_to=[(middle, small)], name=name)

    results = rt.run(timeout=50)

    batches = [batch for name in results for batch in results[name]]
    everything = np.sort(np.concatenate(batches))
    np.testing.assert_array_equal(everything, np.arange(EVENTS))


class Views(ff.Consumer):
    """Keeps every batch as it comes."""

    def __init__(self):
        self.kept = []

    def handle_events(self, events, source):
        self.kept.append(events)

    def result(self):
        return self.kept


# -- ff.stream --


def test_a_list_of_a_stream_holds_each_batch():
    batches = list(ff.stream(ff.Range(EVENTS)))

    assert len(batches) > 10
    np.testing.assert_array_equal(np.concatenate(batches), np.arange(EVENTS))


def test_a_list_of_a_stream_through_steps_holds_each_batch():
    def even(batch):
        return batch[batch % 4 == 0]

    batches = list(ff.stream(blocks(EVENTS), lambda batch: batch * 2, even))

    np.testing.assert_array_equal(np.concatenate(batches), np.arange(0, 2 * EVENTS, 4))


def test_the_loop_variable_still_shows_its_batch_while_the_next_is_fetched():
    stream = ff.stream(ff.Range(EVENTS))
    previous, position = next(stream), 0

    for batch in stream:
        np.testing.assert_array_equal(previous, np.arange(position, position + len(previous)))
        position += len(previous)
        previous = batch

    assert position + len(previous) == EVENTS


def test_what_is_kept_now_and_then_in_a_loop_over_a_stream_stays_as_it_was():
    kept = []
    position = 0

    for i, batch in enumerate(ff.stream(ff.Range(EVENTS * 5))):
        if i % 4 == 1:
            kept.append((position, batch[1:-1]))
        position += len(batch)

    assert position == EVENTS * 5
    assert len(kept) > 5
    for first, held in kept:
        np.testing.assert_array_equal(held, np.arange(first + 1, first + 1 + len(held)))


def test_a_batch_of_a_stream_outlives_its_iterator():
    stream = ff.stream(ff.Range(EVENTS))
    first = next(stream)
    stream.close()
    del stream
    gc.collect()
    use_the_pool_again()

    np.testing.assert_array_equal(first, np.arange(len(first)))
