"""Page one: `run`, `stream`, `step`, with functions, iterables and arrays where stages may be."""

from __future__ import annotations

import contextlib
import gc
import itertools
import signal
import threading
import traceback

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastflow as ff
from fastflow.errors import FastflowError, SchemaError, Stalled


class Upto(ff.Producer):
    """Counts up to `stop`; tells when it has ended."""

    dtype = "int64"

    def __init__(self, stop, ended=None):
        self.next, self.stop, self.ended = 0, stop, [] if ended is None else ended

    def handle_demand(self, demand):
        out = self.claim(demand if self.stop is None else min(demand, self.stop - self.next))
        ff.fill_range(out, self.next)
        self.next += len(out)
        if self.next == self.stop:
            self.finish()
        return out

    def terminate(self, reason):
        self.ended.append(reason)


class Silent(ff.Producer):
    """Emits nothing and does not end."""

    dtype = "int64"

    def handle_demand(self, demand):
        return None


class Keep(ff.Consumer):
    """The list of everything that came."""

    def __init__(self):
        self.seen = []

    def handle_events(self, events, source):
        self.seen.extend(events)

    def result(self):
        return self.seen


def raises_at(event):
    """A step that fails when it sees `event`."""

    def divide(x):
        if event in x:
            raise ZeroDivisionError("on purpose")
        return x

    return divide


# -- run ------------------------------------------------------------------------------------------


def test_page_one_runs_as_it_stands():
    n = 10_000_000
    total = ff.run(ff.Range(n), lambda x: x * 3 + 1, lambda x: x[x % 2 == 0], ff.Sum())

    x = np.arange(n) * 3 + 1
    assert total == int(x[x % 2 == 0].sum())


def test_run_needs_no_steps():
    assert ff.run(ff.Range(1000), ff.Sum()) == 499_500


def test_run_returns_the_result_of_the_sink():
    assert ff.run(ff.Range(5), Keep()) == [0, 1, 2, 3, 4]
    assert ff.run(ff.Range(5), lambda x: x + 1, ff.Max()) == 5


def test_run_drives_in_the_calling_thread():
    threads = set()

    def look(x):
        threads.add(threading.get_ident())
        return x

    ff.run(ff.Range(100_000), look, ff.Count())

    assert threads == {threading.get_ident()}


def test_a_generator_of_arrays_is_a_source_of_batches():
    def chunks():
        for i in range(0, 100, 10):
            yield np.arange(i, i + 10)

    assert ff.run(chunks(), ff.Sum()) == 4950
    assert ff.run(chunks(), Keep()) == list(range(100))


def test_arrays_larger_than_the_demand_are_cut():
    sizes = []

    def look(x):
        sizes.append(len(x))
        return x

    assert ff.run([np.arange(1_000_000)], look, ff.Sum()) == 499_999_500_000
    assert max(sizes) <= 32_768


def test_an_array_is_a_source():
    assert ff.run(np.arange(1000), ff.Sum()) == 499_500
    assert ff.run(np.linspace(0, 1, 5), Keep()) == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    "items",
    [[1, 2, 3], [[1, 2], [3]], [{"a": 1}, {"b": 2}], ["x", None, 1.5], [(), [], {}], [[]]],
    ids=str,
)
def test_items_that_are_no_arrays_are_one_object_event_each(items):
    assert ff.run(items, Keep()) == items
    assert ff.run(iter(items), ff.Count()) == len(items)


def test_batches_are_batches_of_columns():
    batches = [ff.Batch(price=np.array([1.0, 2.0]), qty=np.array([3, 4])) for _ in range(5)]

    total = ff.run(batches, lambda b: b["price"] * b["qty"], ff.Sum())

    assert total == 5 * (1.0 * 3 + 2.0 * 4)


def test_a_structured_array_is_a_source_of_columns():
    rows = np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "i8"), ("b", "f8")])

    assert ff.run([rows], lambda b: b["a"] + b["b"], ff.Sum()) == 10.0


def test_a_function_in_the_sources_place_is_called_for_the_iterable():
    calls = []

    def source():
        calls.append(1)
        return (np.arange(i) for i in range(5))

    assert ff.run(source, ff.Count()) == 10
    assert ff.run(source, ff.Count()) == 10
    assert len(calls) == 2


def test_a_generator_function_is_a_source():
    def source():
        yield np.arange(3)
        yield np.arange(4)

    assert ff.run(source, ff.Count()) == 7


def test_a_function_in_the_sinks_place_gets_every_batch():
    seen = []

    result = ff.run(ff.Range(100), lambda x: seen.extend(x.tolist()))

    assert result is None
    assert seen == list(range(100))


def test_a_step_may_return_columns():
    seen = []

    def look(batch):
        assert isinstance(batch, ff.Batch)
        seen.extend(zip(batch["x"].tolist(), batch["half"].tolist(), strict=True))

    ff.run(np.arange(4), lambda x: {"x": x, "half": x / 2}, look)

    assert seen == [(0, 0.0), (1, 0.5), (2, 1.0), (3, 1.5)]


def test_a_step_that_returns_nothing_drops_the_batch():
    assert ff.run(ff.Range(100), lambda x: None, ff.Count()) == 0
    assert ff.run(ff.Range(100), lambda x: x[:0], ff.Count()) == 0


def test_a_step_gets_lists_of_objects():
    assert ff.run(["a", "b", "c"], lambda words: [w.upper() for w in words], Keep()) == [
        "A",
        "B",
        "C",
    ]


def test_stages_may_stand_everywhere():
    assert ff.run(Upto(100), ff.Map(lambda x: x + 1), ff.Filter(lambda x: x > 50), Keep()) == list(
        range(51, 101)
    )


def test_step_makes_a_step_of_a_function():
    assert ff.run(ff.Range(10), ff.step(lambda x: x * 2), ff.Sum()) == 90


def test_methods_and_callable_objects_are_steps():
    class Adds:
        def __init__(self, n):
            self.n = n

        def __call__(self, x):
            return x + self.n

        def method(self, x):
            return x * self.n

    adds = Adds(3)

    assert ff.run(ff.Range(4), adds, adds.method, Keep()) == [9, 12, 15, 18]
    assert ff.run(np.array([1.0, 4.0]), np.sqrt, Keep()) == [1.0, 2.0]


def test_a_finite_source_may_be_empty():
    assert ff.run(ff.Range(0), ff.Sum()) == 0
    assert ff.run([], ff.Count()) == 0
    assert ff.run(iter(()), Keep()) == []
    assert ff.run([np.arange(0)], lambda x: x, ff.Count()) == 0


def test_empty_arrays_among_others_do_not_stall_the_source():
    assert ff.run([np.arange(0), np.arange(3), np.arange(0), np.arange(2)], ff.Count()) == 5


def test_a_step_may_return_more_than_it_got():
    assert ff.run(ff.Range(1000), lambda x: np.repeat(x, 10), ff.Count()) == 10_000


def test_a_failing_step_raises_its_error_with_the_users_frames():
    with pytest.raises(ZeroDivisionError) as raised:
        ff.run(ff.Range(100), raises_at(70), ff.Sum())

    frames = traceback.extract_tb(raised.value.__traceback__)
    assert frames[-1].name == "divide"
    assert frames[-1].filename == __file__
    assert raised.value.__notes__


def test_a_failing_source_raises_its_error():
    def source():
        yield np.arange(3)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        ff.run(source(), ff.Sum())


def test_a_failing_source_function_raises_its_error():
    def source():
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        ff.run(source, ff.Sum())


def test_a_failing_sink_function_raises_its_error():
    with pytest.raises(ZeroDivisionError):
        ff.run(ff.Range(10), lambda x: 1 // 0)


def test_steps_whose_outputs_change_their_dtype_are_refused():
    turns = itertools.count()

    with pytest.raises(FastflowError, match="float64"):
        ff.run(ff.Range(100_000), lambda x: x if next(turns) < 1 else x * 0.5, ff.Sum())


def test_a_source_whose_arrays_change_their_dtype_is_refused():
    with pytest.raises(FastflowError, match="float64"):
        ff.run([np.arange(3), np.zeros(3)], ff.Sum())


def test_a_sum_of_texts_is_refused():
    with pytest.raises(FastflowError):
        ff.run(np.array(["a", "b"]), ff.Sum())


@pytest.mark.parametrize("bad", [3, None, object(), np.float64(1.0)])
def test_what_is_no_source_is_refused(bad):
    with pytest.raises((TypeError, ValueError)):
        ff.run(bad, ff.Sum())


@pytest.mark.parametrize("bad", [3, "text", [1, 2]])
def test_what_is_no_step_or_sink_is_refused(bad):
    with pytest.raises((TypeError, ValueError)):
        ff.run(ff.Range(3), bad, ff.Sum())
    with pytest.raises((TypeError, ValueError)):
        ff.run(ff.Range(3), bad)


def test_stages_in_the_wrong_place_are_refused():
    with pytest.raises((TypeError, ValueError)):
        ff.run(ff.Range(3), ff.Range(3))
    with pytest.raises((TypeError, ValueError)):
        ff.run(ff.Sum(), ff.Sum())
    with pytest.raises((TypeError, ValueError)):
        ff.run(ff.Range(3), ff.Sum(), ff.Sum())


def test_a_run_without_a_sink_is_refused():
    with pytest.raises((TypeError, ValueError)):
        ff.run(ff.Range(3))
    with pytest.raises(TypeError):
        ff.run()


@pytest.mark.parametrize("option", ["workers", "ordered"])
def test_options_that_come_later_are_unknown(option):
    with pytest.raises(TypeError, match=option):
        ff.step(lambda x: x, **{option: 2})


def test_a_consumer_that_waits_for_ever_is_an_error_that_names_it():
    """DESIGN 3: never a hang."""
    with pytest.raises(Stalled, match=r"Silent|Sum"):
        ff.run(Silent(), ff.Sum())


def test_a_consumer_that_asks_for_nothing_is_an_error():
    class Lazy(ff.Consumer):
        def handle_subscribe(self, role, options, subscription):
            return "manual"

        def handle_events(self, events, source):
            return None

    with pytest.raises(Stalled):
        ff.run(ff.Range(10), Lazy())


def test_when_the_sink_has_ended_an_endless_source_is_stopped():
    ended = []

    class First(ff.Consumer):
        def __init__(self, n):
            self.n, self.seen = n, []

        def handle_events(self, events, source):
            self.seen += events.tolist()
            if len(self.seen) >= self.n:
                self.finish()

        def result(self):
            return self.seen[: self.n]

    assert ff.run(Upto(None, ended), lambda x: x * 2, First(5)) == [0, 2, 4, 6, 8]
    assert len(ended) == 1


def test_ctrl_c_in_a_step_is_raised_at_once():
    ended, before = [], signal.getsignal(signal.SIGINT)

    def press(x):
        if x[0] > 100_000:
            signal.raise_signal(signal.SIGINT)
        return x

    with pytest.raises(KeyboardInterrupt):
        ff.run(Upto(None, ended), press, ff.Sum())

    assert len(ended) == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_inside_a_step_works_or_is_an_error_but_never_hangs():
    def inner(x):
        return x + ff.run(ff.Range(3), ff.Sum())

    for _ in range(2):
        got = [3, 4, 5]
        with contextlib.suppress(RuntimeError):
            got = ff.run(ff.Range(3), inner, Keep())
        assert got == [3, 4, 5]


def test_the_same_template_may_be_run_twice():
    source, sink = Upto(10), Keep()

    assert ff.run(source, sink) == ff.run(source, sink) == list(range(10))
    assert source.next == 0
    assert sink.seen == []


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(-(2**40), 2**40), max_size=50), max_size=10), st.integers(1, 5)
)
def test_run_equals_a_plain_loop(chunks, factor):
    arrays = [np.array(chunk, "int64") for chunk in chunks]

    got = ff.run(iter(arrays), lambda x: x * factor, lambda x: x[x % 3 != 0], Keep())

    assert got == [x * factor for chunk in chunks for x in chunk if (x * factor) % 3]


# -- stream ---------------------------------------------------------------------------------------


def test_stream_iterates_what_comes_out():
    got = [x for batch in ff.stream(ff.Range(100_000), lambda x: x * 2) for x in batch.tolist()]

    assert got == list(range(0, 200_000, 2))


def test_stream_needs_no_steps():
    assert sum(len(batch) for batch in ff.stream(ff.Range(1000))) == 1000


def test_the_loop_of_page_one():
    def read_blocks(path):
        for i in range(10):
            yield [f"{path}-{i}-{k}" for k in range(3)]

    def parse(blocks):
        return np.array([int(text.split("-")[1]) for block in blocks for text in block])

    def model(x):
        return x * 10.0

    got = []
    for batch in ff.stream(read_blocks("p"), parse, ff.step(model)):
        got += batch.tolist()

    assert got == [10.0 * i for i in range(10) for _ in range(3)]


def test_stream_drives_in_the_calling_thread_and_only_as_it_is_asked():
    threads, made = set(), []

    def source():
        for i in itertools.count():
            threads.add(threading.get_ident())
            made.append(i)
            yield np.full(1000, i)

    stream = iter(ff.stream(source()))
    first = next(stream)

    assert threads == {threading.get_ident()}
    assert first[0] == 0
    assert len(made) < 1000


def test_breaking_out_of_a_stream_stops_its_stages():
    """GenStage 173, Reactive Streams 2.6."""
    ended = []
    for batch in ff.stream(Upto(None, ended), lambda x: x + 1):
        assert batch[0] == 1
        break
    gc.collect()

    assert len(ended) == 1


def test_a_stream_may_be_left_by_an_exception():
    ended = []

    def loop():
        for batch in ff.stream(Upto(None, ended)):
            raise ValueError(len(batch))

    with pytest.raises(ValueError, match=r"\d+"):
        loop()
    gc.collect()

    assert len(ended) == 1


def test_a_failing_step_raises_in_the_loop_after_what_came_before():
    got = []

    def loop():
        for batch in ff.stream([np.arange(3), np.arange(3, 6), np.arange(6, 9)], raises_at(7)):
            got.extend(batch.tolist())

    with pytest.raises(ZeroDivisionError) as raised:
        loop()

    assert got == list(range(len(got)))
    assert len(got) <= 6  # arrays that wait together may be delivered together
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "divide"


def test_a_stream_that_can_never_go_on_is_an_error():
    with pytest.raises(Stalled, match="Silent"):
        list(ff.stream(Silent()))


def test_a_stream_of_nothing_is_empty():
    assert list(ff.stream([])) == []
    assert list(ff.stream(ff.Range(0), lambda x: x)) == []
    assert list(ff.stream(ff.Range(10), lambda x: None)) == []


def test_a_stream_of_objects_gives_lists():
    assert [x for batch in ff.stream([{"a": 1}, [2], "c"]) for x in batch] == [{"a": 1}, [2], "c"]


def test_a_stream_of_columns_gives_batches():
    prices = []
    for batch in ff.stream(ff.Range(10), lambda x: {"price": x * 0.5, "qty": x}):
        assert isinstance(batch, ff.Batch)
        assert batch.columns == ("price", "qty")
        prices += batch["price"].tolist()

    assert prices == [x * 0.5 for x in range(10)]


def test_batches_of_a_stream_may_be_kept():
    kept = list(ff.stream(ff.Range(500_000), lambda x: x + 1))

    assert np.array_equal(np.concatenate(kept), np.arange(1, 500_001))


def test_the_batch_before_is_still_itself_while_the_next_is_fetched():
    """DESIGN 5: the loop variable holds it."""
    before, first = None, 0
    for batch in ff.stream(ff.Range(500_000)):
        if before is not None:
            assert before[-1] + 1 == batch[0]
            assert before[0] == first
        before, first = batch, int(batch[0])


def test_two_streams_may_be_zipped():
    ones, twos, parts = (
        ff.stream(ff.Range(200_000)),
        ff.stream(ff.Range(200_000), lambda x: x * 2),
        ([], []),
    )

    for pair in itertools.zip_longest(ones, twos, fillvalue=np.empty(0, "int64")):
        for part, batch in zip(parts, pair, strict=True):
            part.append(batch)

    assert np.array_equal(np.concatenate(parts[0]) * 2, np.concatenate(parts[1]))


def test_a_stream_may_be_the_source_of_another():
    assert ff.run(ff.stream(ff.Range(1000), lambda x: x + 1), ff.Sum()) == sum(range(1, 1001))


def test_what_is_no_source_of_a_stream_is_refused():
    with pytest.raises((TypeError, ValueError)):
        list(ff.stream(3))
    with pytest.raises((TypeError, ValueError)):
        list(ff.stream(ff.Range(3), ff.Range(3)))


def test_schemas_that_differ_are_refused_before_anything_runs():
    class Floats(ff.Consumer):
        accepts = "float32"

        def handle_events(self, events, source):
            return None

    with pytest.raises(SchemaError, match="float32"):
        ff.run(ff.Range(10), Floats())
