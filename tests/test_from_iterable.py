"""`FromIterable`: `on_cancel`, and iterables that are read on a thread of their own."""

from __future__ import annotations

import itertools
import logging
import queue
import re
import threading
import traceback

import numpy as np
import pytest
from helpers_runtime import WAIT, Counter, Hand, Total

import fastflow as ff
from fastflow import testing


class Feed:
    """An iterable that blocks until it is fed; tells when somebody waits in it, and how far it was read."""

    def __init__(self):
        self.items, self.entered, self.read = queue.Queue(), threading.Semaphore(0), 0
        self.given = threading.Semaphore(0)

    def __iter__(self):
        return self

    def __next__(self):
        self.entered.release()
        item = self.items.get(timeout=WAIT)
        if isinstance(item, BaseException):
            raise item
        self.read += 1
        self.given.release()
        return item

    def feed(self, *items):
        for item in items:
            self.items.put(item)

    def end(self):
        self.items.put(StopIteration())

    def wait_until_it_blocks(self, reads=1):
        """Until `next` has been called so often since the last time."""
        for _ in range(reads):
            assert self.entered.acquire(timeout=WAIT)


class Seen(ff.Consumer):
    """Every batch as a list, and a semaphore that counts them."""

    def __init__(self, batches, came):
        self.batches, self.came = batches, came

    def handle_events(self, events, source):
        self.batches.append(list(events))
        self.came.release()


def apart(iterable, **options):
    return ff.FromIterable(iterable, isolate="thread", **options)


# -- on a thread of its own ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([1, "a", None, {}], [1, "a", None, {}]),
        ([np.arange(3), np.arange(0), np.arange(2)], [0, 1, 2, 0, 1]),
        ([], []),
        (np.arange(4), [0, 1, 2, 3]),
        (lambda: (i for i in range(3)), [0, 1, 2]),
    ],
    ids=["objects", "arrays", "nothing", "an array", "a function"],
)
def test_a_thread_gives_what_reading_here_gives(items, expected):
    assert list(ff.run(apart(items), ff.Collect())) == expected
    assert list(ff.run(ff.FromIterable(items), ff.Collect())) == expected


def test_many_items_arrive_in_order():
    got = ff.run(apart(lambda: iter(range(20_000))), ff.Collect())

    assert got == list(range(20_000))


def test_columns_keep_their_dtype():
    batches = [ff.Batch(x=np.array([1.5]), y=np.array([2], "i4"))] * 3

    got = ff.run(apart(batches, dtype=[("x", "f8"), ("y", "i4")]), ff.Collect())

    assert got["y"].dtype == np.int32
    assert got["x"].tolist() == [1.5] * 3


def test_the_iterable_is_opened_and_read_on_one_thread_of_its_own():
    threads = []

    def source():
        threads.append(threading.current_thread())
        for i in range(3):
            threads.append(threading.current_thread())
            yield i

    assert ff.run(apart(source), ff.Count()) == 3
    assert len(set(threads)) == 1
    assert threads[0].name == "fastflow reader of FromIterable-1"
    assert threads[0].daemon
    assert not threads[0].is_alive()


def test_what_has_arrived_is_emitted_at_once():
    feed, batches, came = Feed(), [], threading.Semaphore(0)
    with ff.Runtime() as rt:
        rt.start(Seen(batches, came), subscribe_to=[rt.start(apart(feed))])
        for i in range(3):
            feed.wait_until_it_blocks()
            feed.feed(i)
            assert came.acquire(timeout=WAIT)
        feed.end()

    assert batches == [[0], [1], [2]]


def test_other_stages_go_on_while_the_iterable_blocks():
    feed = Feed()
    with ff.Runtime() as rt:
        rt.start(ff.Count(), subscribe_to=[rt.start(apart(feed))])
        feed.wait_until_it_blocks()
        total = rt.start(Total(), subscribe_to=[rt.start(Counter(100_000))])
        assert total.result(WAIT) == 4_999_950_000
        feed.end()


def test_a_driver_in_this_thread_waits_for_the_iterable():
    feed = Feed()
    threading.Timer(0.0, feed.feed, (1, 2, StopIteration())).start()
    assert ff.run(apart(feed), ff.Collect()) == [1, 2]

    threading.Timer(0.0, feed.feed, (3, StopIteration())).start()
    assert [x for batch in ff.stream(apart(feed)) for x in batch] == [3]

    rt = ff.Runtime()
    rt.start(ff.Collect(), name="all", subscribe_to=[rt.start(apart(feed))])
    threading.Timer(0.0, feed.feed, (4, StopIteration())).start()
    assert rt.run(timeout=WAIT) == {"all": [4]}


def test_no_more_is_read_than_was_asked_for():
    feed = Feed()
    feed.feed(*range(100))
    with ff.Runtime() as rt:
        hand = rt.start(Hand())
        edge = hand.subscribe(rt.start(apart(feed)), max_demand=50)
        for asked in (3, 7):
            edge.ask(asked)
            for _ in range(asked):
                assert feed.given.acquire(timeout=WAIT)
        hand.stop()

    assert feed.read == 10


def test_a_consumer_that_has_left_is_not_waited_for():
    feed = Feed()
    with ff.Runtime() as rt:
        source, total = rt.start(apart(feed)), rt.start(Hand())
        total.subscribe(source).ask(5)
        feed.wait_until_it_blocks()
        total.stop()                        # nobody wants the item any more: the block can be left

    assert not source.alive
    feed.end()


def test_what_was_read_for_a_consumer_that_has_left_goes_to_the_next():
    feed = Feed()
    with ff.Runtime() as rt:
        source = rt.start(apart(feed))
        hand = rt.start(Hand())
        hand.subscribe(source).ask(1)
        feed.wait_until_it_blocks()
        hand.stop()
        rest = rt.start(ff.Collect(), subscribe_to=[source])
        feed.feed(1, 2)
        feed.end()
        assert rest.result(WAIT) == [1, 2]


def test_an_error_of_the_iterable_comes_behind_the_events_before_it():
    def source():
        yield 1
        yield 2
        raise OSError("the disk is gone")

    got = []
    with pytest.raises(OSError, match="the disk is gone") as raised:
        for batch in ff.stream(apart(source)):
            got += batch

    assert got == [1, 2]
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "source"
    assert "in stage 'FromIterable-1' (FromIterable), callback handle_demand" in raised.value.__notes__[0]


def test_an_error_of_the_source_function_is_the_stages():
    def source():
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        ff.run(apart(source), ff.Count())


def test_items_of_two_kinds_are_refused():
    with pytest.raises(ff.SchemaError, match=r"item 1 of an iterable: got int, expected a batch"):
        ff.run(apart([np.arange(3), 5]), ff.Count())


@pytest.mark.parametrize("how", ["stop of the stage", "stop of the runtime", "an error in the block", "break"])
def test_stopping_never_waits_for_an_iterable_that_blocks(how, caplog):
    feed = Feed()
    with caplog.at_level(logging.WARNING, "fastflow.runtime"):
        if how == "break":
            for batch in ff.stream([ff.FromIterable([1]), apart(feed)]):
                assert batch == [1]
                feed.wait_until_it_blocks()
                break
        else:
            try:
                with ff.Runtime() as rt:
                    source = rt.start(apart(feed))
                    rt.start(ff.Count(), subscribe_to=[source])
                    feed.wait_until_it_blocks()
                    if how == "stop of the stage":
                        source.stop()
                    elif how == "stop of the runtime":
                        rt.stop()
                    else:
                        raise KeyError("in the block")
            except KeyError:
                assert how == "an error in the block"

    assert re.search(
        r"stage 'FromIterable-\d' has ended, and its iterable is still in its `next`, which nothing can interrupt; the "
        "thread that reads it ends when that returns", caplog.text)
    feed.end()


def test_a_generator_is_closed_on_its_thread_when_its_stage_is_stopped():
    threads = []

    def source():
        threads.append(threading.current_thread())
        try:
            yield from itertools.count()
        finally:
            threads.append(threading.current_thread())

    with ff.Runtime() as rt:
        came = threading.Semaphore(0)
        rt.start(Seen([], came), subscribe_to=[(rt.start(apart(source)), dict(max_demand=1))])
        assert came.acquire(timeout=WAIT)
        rt.stop()

    assert len(threads) == 2
    assert threads[0] is threads[1]


def test_settle_has_what_arrives_later():
    feed, rt = Feed(), ff.Runtime()
    seen = rt.start(testing.Recorder(), subscribe_to=[rt.start(apart(feed))])
    testing.settle(rt)
    feed.feed(1)
    feed.wait_until_it_blocks(2)
    testing.settle(rt)

    assert testing.stage_of(seen).batches == [[1]]
    rt.stop()
    feed.end()


# -- isolate as an option --------------------------------------------------------------------------


def test_isolate_may_be_given_at_the_start_or_by_the_class():
    class Apart(ff.FromIterable):
        isolate = "thread"

    def where():
        yield threading.current_thread() is threading.main_thread()

    rt = ff.Runtime()
    rt.start(ff.Collect(), name="given", subscribe_to=[rt.start(ff.FromIterable(where), isolate="thread")])
    rt.start(ff.Collect(), name="class", subscribe_to=[rt.start(Apart(where))])
    rt.start(ff.Collect(), name="undone", subscribe_to=[rt.start(apart(where), isolate=False)])

    assert rt.run(timeout=WAIT) == {"given": [False], "class": [False], "undone": [True]}


def test_no_other_stage_has_a_thread_of_its_own():
    text = (
        "isolate of Map: got 'thread', expected False, since so far only an ff.FromIterable has a thread of its own; "
        "leave the option out, or put what blocks into an iterable"
    )
    with pytest.raises(ff.OptionError, match=re.escape(text)):
        ff.Runtime().start(ff.Map(len), isolate="thread")
    with pytest.raises(ff.OptionError, match=re.escape(text)):
        ff.run(ff.Range(3), ff.step(len, isolate="thread"), ff.Count())


@pytest.mark.parametrize("bad", ["process", True, 1])
def test_isolate_is_false_or_thread(bad):
    with pytest.raises(ff.OptionError, match=f"isolate of FromIterable: got {bad!r}, expected False or 'thread'"):
        ff.FromIterable([], isolate=bad)
    with pytest.raises(ff.OptionError, match=f"isolate of FromIterable: got {bad!r}, expected False or 'thread'"):
        ff.Runtime().start(ff.FromIterable([]), isolate=bad)


# -- on_cancel -------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", [False, "thread"])
def test_by_default_a_source_goes_on_when_its_last_consumer_leaves(isolate):
    with ff.Runtime() as rt:
        source = rt.start(ff.FromIterable(itertools.count(), isolate=isolate))
        for first in (0, 1, 2):
            for batch in ff.stream(source, max_demand=1):
                assert batch == [first]
                break
        assert source.alive


@pytest.mark.parametrize("isolate", [False, "thread"])
def test_a_source_may_end_with_its_last_consumer(isolate):
    with ff.Runtime() as rt:
        source = rt.start(ff.FromIterable(itertools.count(), on_cancel="stop", isolate=isolate))
        one, two = rt.start(Hand()), rt.start(Hand())
        for hand in (one, two):
            hand.subscribe(source)
        one.stop()
        assert source.alive
        two.stop()
        assert source.join(WAIT) == "normal"


def test_on_cancel_is_continue_or_stop():
    with pytest.raises(ff.OptionError, match="on_cancel of FromIterable: got 'halt', expected 'continue' or 'stop'"):
        ff.FromIterable([], on_cancel="halt")
