"""The ready-made stages written in Python; the native ones as far as they stand in a pipeline."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model import counters

import fastflow as ff
from fastflow.errors import FastflowError
from fastflow.testing import ManualClock, Recorder, Script, settle, stage_of


def flat(events):
    """Events in one list, whether they are batches, an array or a list already."""
    return [int(x) for part in events for x in np.atleast_1d(part)]


class Push(ff.Producer):
    """Answers no demand; what is cast to it, it emits; None ends it."""

    dtype = "int64"

    def handle_demand(self, demand):
        return None

    def handle_cast(self, request):
        if request is None:
            self.finish()
        return request


def through(*stages, source, max_demand=None):
    """The batches that a Recorder gets behind `stages`."""
    rt = ff.Runtime()
    last = rt.start(source)
    options = {} if max_demand is None else dict(max_demand=max_demand)
    for stage in (*stages, Recorder()):
        last = rt.start(stage, subscribe_to=[(last, options)])
    settle(rt)
    return last.result()


# -- FromIterable ---------------------------------------------------------------------------------


def test_from_iterable_cuts_arrays_to_the_demand():
    batches = through(source=ff.FromIterable([np.arange(100), np.arange(100, 103)]), max_demand=10)

    assert max(len(batch) for batch in batches) <= 5
    assert flat(batches) == list(range(103))


def test_from_iterable_makes_an_event_of_any_other_item():
    items = [1, "two", [3], {"four": 4}, None]

    batches = through(source=ff.FromIterable(items))

    assert [item for batch in batches for item in batch] == items


def test_from_iterable_is_lazy():
    """GenStage 175: it pulls what is asked for."""
    pulled = []

    def items():
        for i in itertools.count():
            pulled.append(i)
            yield i

    class Hand(ff.Consumer):
        def handle_subscribe(self, role, options, subscription):
            return "manual"

        def handle_events(self, events, source):
            return None

    rt = ff.Runtime()
    subscription = rt.start(Hand()).subscribe(rt.start(ff.FromIterable(items())), max_demand=100)
    settle(rt)
    assert pulled == []

    subscription.ask(10)
    settle(rt)
    assert 10 <= len(pulled) <= 11


def test_from_iterable_ends_with_its_iterable():
    rt = ff.Runtime()
    source = rt.start(ff.FromIterable([np.arange(3)]))
    recorder = rt.start(Recorder(), subscribe_to=[source])
    settle(rt)

    assert source.join() == "normal"
    assert recorder.join() == "normal"


def test_from_iterable_calls_a_function_at_every_start():
    template = ff.FromIterable(lambda: iter([np.arange(5)]))
    rt = ff.Runtime()
    recorders = [rt.start(Recorder(), subscribe_to=[rt.start(template)]) for _ in range(3)]
    settle(rt)

    assert [flat(recorder.result()) for recorder in recorders] == [list(range(5))] * 3


def test_from_iterable_raises_what_its_iterable_raises():
    def items():
        yield np.arange(3)
        raise OSError("gone")

    rt = ff.Runtime()
    source = rt.start(ff.FromIterable(items()))
    recorder = rt.start(Recorder(), subscribe_to=[(source, dict(cancel="temporary"))])
    settle(rt)

    assert isinstance(source.join(), OSError)
    assert flat(stage_of(recorder).batches) == [0, 1, 2]


@pytest.mark.parametrize("bad", [3, None, 1.5])
def test_from_iterable_refuses_what_cannot_be_iterated(bad):
    with pytest.raises(TypeError):
        rt = ff.Runtime()
        source = rt.start(ff.FromIterable(bad))
        rt.start(Recorder(), subscribe_to=[source])
        settle(rt)
        source.result()


# -- Map, Filter, ForEach, Collect ----------------------------------------------------------------


def test_map_gets_batches_and_returns_batches():
    types = set()

    def double(x):
        types.add(type(x))
        return x * 2

    assert flat(through(ff.Map(double), source=ff.Range(100))) == list(range(0, 200, 2))
    assert types == {np.ndarray}


def test_map_gets_columns_as_a_batch_and_objects_as_a_list():
    types = []

    def look(x):
        types.append(type(x))
        return x

    rows = np.zeros(3, [("a", "i8"), ("b", "f8")])
    through(ff.Map(look), source=Script([rows], dtype=rows.dtype))
    through(ff.Map(look), source=ff.FromIterable(["a", "b"]))

    assert types == [ff.Batch, list]


def test_filter_keeps_what_its_mask_says():
    assert flat(through(ff.Filter(lambda x: x % 3 == 0), source=ff.Range(20))) == [
        0,
        3,
        6,
        9,
        12,
        15,
        18,
    ]


def test_filter_of_columns_keeps_rows():
    rows = np.array([(i, i / 2) for i in range(10)], [("a", "i8"), ("b", "f8")])
    seen = []

    def look(batch):
        seen.extend(zip(batch["a"].tolist(), batch["b"].tolist(), strict=True))

    ff.run([rows], ff.Filter(lambda batch: batch["a"] > 7), look)

    assert seen == [(8, 4.0), (9, 4.5)]


def test_filter_of_objects_takes_a_mask_too():
    words = ["a", "bb", "ccc"]

    batches = through(ff.Filter(lambda x: [len(w) > 1 for w in x]), source=ff.FromIterable(words))

    assert [word for batch in batches for word in batch] == ["bb", "ccc"]


@pytest.mark.parametrize(
    "mask",
    [
        lambda x: x[:-1] > 0,
        lambda x: np.ones((len(x), 2), bool),
        lambda x: x * 1.5,
        lambda x: "yes",
    ],
    ids=["too short", "2-D", "floats", "text"],
)
def test_a_mask_that_does_not_fit_is_refused(mask):
    with pytest.raises((FastflowError, TypeError, ValueError, IndexError)):
        ff.run(ff.Range(10), ff.Filter(mask), ff.Count())


def test_for_each_calls_its_function_with_every_batch():
    seen = []

    assert ff.run(ff.Range(100), ff.ForEach(lambda x: seen.extend(x.tolist()))) is None
    assert seen == list(range(100))


def test_collect_gives_everything_in_order():
    assert flat(ff.run(ff.Range(100_000), ff.Collect())) == list(range(100_000))
    assert list(ff.run(["a", {"b": 1}], ff.Collect())) == ["a", {"b": 1}]
    assert len(ff.run(ff.Range(0), ff.Collect())) == 0


@pytest.mark.parametrize("stage", [ff.Map, ff.Filter, ff.ForEach])
@pytest.mark.parametrize("bad", [3, None, "name"])
def test_what_is_no_function_is_refused(stage, bad):
    with pytest.raises((TypeError, ValueError)):
        ff.run(ff.Range(3), stage(bad), *([] if stage is ff.ForEach else [ff.Count()]))


# -- Batcher --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 20),
    st.lists(st.integers(1, 50), max_size=10),
    st.integers(1, 60),
    st.integers(0, 40),
    st.data(),
)
def test_batches_have_exactly_n_events_and_the_last_the_rest(n, sizes, upstream, more, data):
    """Neither demand nor the cut of the input changes them."""
    ends = np.cumsum([0, *sizes])
    script = [np.arange(a, b) for a, b in itertools.pairwise(ends)]
    low = data.draw(st.integers(0, n + more - 1))
    rt = ff.Runtime()
    source = rt.start(Script(script, dtype="int64"))
    batcher = rt.start(ff.Batcher(n), subscribe_to=[(source, dict(max_demand=upstream))])
    recorder = rt.start(
        Recorder(), subscribe_to=[(batcher, dict(max_demand=n + more, min_demand=low))]
    )

    settle(rt)

    total = int(ends[-1])
    lengths = [len(batch) for batch in recorder.result()]
    assert lengths == [n] * (total // n) + ([total % n] if total % n else [])
    assert flat(recorder.result()) == list(range(total))


def test_batches_of_columns_and_of_objects():
    rows = np.array([(i, i / 2) for i in range(10)], [("a", "i8"), ("b", "f8")])

    columns, objects = [], []
    ff.run([rows[:3], rows[3:]], ff.Batcher(4), lambda b: columns.append(b["a"].tolist()))
    ff.run(list("abcdefghij"), ff.Batcher(4), lambda b: objects.append("".join(b)))

    assert columns == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert objects == ["abcd", "efgh", "ij"]


def test_batches_as_large_as_the_default_demand():
    sizes = []
    ff.run(ff.Range(100_000), ff.Batcher(1024), lambda x: sizes.append(len(x)))
    ff.run(ff.Range(100_000), ff.Batcher(20_000), lambda x: sizes.append(len(x)))

    assert sizes == [1024] * 97 + [672] + [20_000] * 5


def test_a_subscriber_that_could_never_take_a_batch_is_refused():
    rt = ff.Runtime()
    batcher, recorder = rt.start(ff.Batcher(100), dtype="int64"), rt.start(Recorder())

    with pytest.raises(FastflowError, match="100"):
        recorder.subscribe(batcher, max_demand=50)


def test_a_batcher_gives_what_it_has_after_its_seconds():
    clock = ManualClock()
    rt = ff.Runtime(clock=clock)
    source = rt.start(Push())
    batcher = rt.start(ff.Batcher(4, seconds=2.0), subscribe_to=[source])
    recorder = rt.start(Recorder(), subscribe_to=[batcher])
    batches = stage_of(recorder).batches
    source.cast([1, 2, 3])
    settle(rt)
    assert batches == []

    clock.advance(2.0)
    settle(rt)
    assert [batch.tolist() for batch in batches] == [[1, 2, 3]]

    source.cast([4, 5, 6, 7, 8])
    settle(rt)
    assert [batch.tolist() for batch in batches] == [[1, 2, 3], [4, 5, 6, 7]]

    clock.advance(2.0)
    settle(rt)
    assert [batch.tolist() for batch in batches] == [[1, 2, 3], [4, 5, 6, 7], [8]]

    clock.advance(100.0)
    settle(rt)
    assert len(batches) == 3


def test_a_batcher_without_seconds_waits_for_ever():
    clock = ManualClock()
    rt = ff.Runtime(clock=clock)
    source = rt.start(Push())
    recorder = rt.start(Recorder(), subscribe_to=[rt.start(ff.Batcher(4), subscribe_to=[source])])
    source.cast([1, 2, 3])
    settle(rt)
    clock.advance(1e6)
    settle(rt)
    assert stage_of(recorder).batches == []

    source.cast(None)
    settle(rt)

    assert [batch.tolist() for batch in recorder.result()] == [[1, 2, 3]]


@pytest.mark.parametrize("n", [0, -1, 1.5, True, None, "4"])
def test_a_batch_of_no_count_is_refused(n):
    with pytest.raises((TypeError, ValueError)):
        ff.run(ff.Range(10), ff.Batcher(n), ff.Count())


@pytest.mark.parametrize("seconds", [-1, float("nan"), "soon"])
def test_impossible_seconds_are_refused(seconds):
    with pytest.raises((TypeError, ValueError)):
        ff.run(ff.Range(10), ff.Batcher(4, seconds), ff.Count())


# -- Throttle -------------------------------------------------------------------------------------


def test_throttle_lets_so_many_events_pass_a_second():
    """At most the rate, and a second's worth at once."""
    clock, rate, n = ManualClock(), 10, 100
    rt = ff.Runtime(clock=clock)
    throttle = rt.start(ff.Throttle(rate), subscribe_to=[rt.start(ff.Range(n))])
    recorder = rt.start(Recorder(), subscribe_to=[throttle])
    batches, seconds = stage_of(recorder).batches, 0
    settle(rt)

    while recorder.alive:
        assert sum(len(batch) for batch in batches) <= rate * (seconds + 1)
        clock.advance(1.0)
        settle(rt)
        seconds += 1
        assert seconds < 30, "it comes to nothing"

    assert flat(batches) == list(range(n))
    assert seconds >= n // rate - 2


@pytest.mark.parametrize("rate", [0, -1, float("nan"), "fast", None])
def test_impossible_rates_are_refused(rate):
    with pytest.raises((TypeError, ValueError)):
        ff.run(ff.Range(10), ff.Throttle(rate), ff.Count())


# -- the native ones in a pipeline ----------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [(10,), (3, 10), (3, 10, 2), (10, 3, -2), (0,), (5, 5), (-3, 3), (3, 10, 100)]
)
def test_range_counts_as_pythons_does(arguments):
    assert flat(ff.run(ff.Range(*arguments), ff.Collect())) == list(range(*arguments))


def test_native_and_python_stages_stand_in_any_order():
    assert ff.run(ff.Range(100_000), lambda x: x, ff.Sum()) == sum(range(100_000))
    assert ff.run(np.arange(100_000), ff.Sum()) == sum(range(100_000))
    assert flat(ff.run(ff.Range(100_000), ff.Collect())) == list(range(100_000))


@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 1025, 32_768, 100_000])
def test_results_of_the_native_sinks(n):
    assert ff.run(ff.Range(n), ff.Sum()) == n * (n - 1) // 2
    assert ff.run(ff.Range(n), ff.Count()) == n
    assert ff.run(ff.Range(n), ff.Min()) == (0 if n else None)
    assert ff.run(ff.Range(n), ff.Max()) == (n - 1 if n else None)


@pytest.mark.parametrize("max_demand", [1, 2, 7, 1000, 5000])
def test_demand_does_not_change_the_sum_of_floats(max_demand):
    numbers = np.random.default_rng(1).standard_normal(20_000) * 10.0 ** (np.arange(20_000) % 30)
    expected = ff.run(numbers, ff.Sum())

    rt = ff.Runtime()
    source = rt.start(ff.FromIterable([numbers]))
    total = rt.start(ff.Sum(), subscribe_to=[(source, dict(max_demand=max_demand))])
    settle(rt)

    assert total.result() == expected


def test_counters_of_native_edges_are_those_of_the_rules():
    rt = ff.Runtime()
    total = rt.start(ff.Count())
    subscription = total.subscribe(rt.start(ff.Range(10_000)), max_demand=1000, min_demand=500)
    settle(rt)

    asked, sent, acked = counters(subscription)
    assert sent == acked == total.result() == 10_000
    assert sent <= asked <= acked + 1000
