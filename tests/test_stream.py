"""Streams over running stages, several producers and `prefetch`; test_pipeline.py has those of page one."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import re
import signal
import threading

import numpy as np
import pytest
from helpers_runtime import WAIT, Counter, Echo, Same, Total

import fastflow as ff

DRIVERS = ["nobody", "with"]
PREFETCH = [0, 1, 3]


@contextlib.contextmanager
def runtime(driver):
    """A runtime that nobody drives, or one with a thread behind."""
    rt = ff.Runtime()
    if driver == "with":
        with rt:
            yield rt
    else:
        yield rt
        rt.stop()


class Told(ff.Producer):
    """Emits what it is told; notes the reasons for which subscriptions end."""

    dtype = "int64"

    def __init__(self, reasons=None, asked=None):
        self.reasons = [] if reasons is None else reasons
        self.asked = asked

    def handle_demand(self, demand):
        if self.asked is not None:
            self.asked.set()

    def handle_cast(self, request):
        if request == "end":
            self.finish()
            return None
        if isinstance(request, Exception):
            raise request
        return np.array(request)

    def handle_call(self, request, reply):
        return self.pending_demand

    def handle_cancel(self, reason, subscription):
        self.reasons.append(reason)


def failing(*before):
    """A source function: some arrays, then an error."""

    def source():
        yield from map(np.array, before)
        raise OSError("the disk is gone")

    return source


def assert_nothing_left(rt, *refs):
    assert [seat.ref for seat in rt.seats] == list(refs)
    assert rt.subscriptions() == []
    assert not rt.failures


# -- what comes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("prefetch", PREFETCH)
def test_a_stream_over_a_running_stage_has_all_its_events_in_order(driver, prefetch):
    with runtime(driver) as rt:
        counter = rt.start(Counter(300_000))

        kept = list(ff.stream(counter, lambda x: x * 2, prefetch=prefetch))

        assert np.array_equal(np.concatenate(kept), np.arange(0, 600_000, 2))
        assert_nothing_left(rt, counter)
        assert rt.driven == (driver == "with")


@pytest.mark.parametrize("prefetch", PREFETCH)
def test_prefetch_does_not_change_the_sizes_of_deliveries(prefetch):
    sizes = [len(x) for x in ff.stream(ff.Range(1000), prefetch=prefetch, max_demand=100, min_demand=70)]

    assert sizes[:-1] == [30] * 33
    assert sum(sizes) == 1000


@pytest.mark.parametrize("driver", DRIVERS)
def test_refs_templates_and_pairs_may_be_mixed(driver):
    with runtime(driver) as rt:
        counter = rt.start(Counter(1000))
        sizes, seen = set(), []

        for batch in ff.stream([counter, (Counter(500), dict(max_demand=10)), ff.Range(10)]):
            sizes.add(len(batch))
            seen += batch.tolist()

        assert sorted(seen) == sorted([*range(1000), *range(500), *range(10)])
        assert 5 in sizes                   # max - min of the pair
        assert_nothing_left(rt, counter)


def test_a_pair_alone_is_a_producer_with_its_options():
    batches = list(ff.stream((Counter(10), dict(max_demand=4, min_demand=2))))

    assert [len(batch) for batch in batches] == [2] * 5


def test_a_pair_has_the_last_word_on_its_options():
    sizes = {len(x) for x in ff.stream([(ff.Range(100), dict(max_demand=4))], max_demand=50)}

    assert sizes == {2}


def test_producers_without_a_ref_run_in_a_runtime_of_the_streams_own():
    assert sum(int(x.sum()) for x in ff.stream([ff.Range(10), ff.Range(5)], lambda x: x)) == 55


@pytest.mark.parametrize("driver", DRIVERS)
def test_streams_over_one_runtime_may_be_nested(driver):
    with runtime(driver) as rt:
        outer, inner, pairs = rt.start(Counter(6)), rt.start(Counter()), []

        for a in ff.stream(outer, max_demand=1):
            for b in ff.stream(inner, max_demand=2, min_demand=0):
                pairs.append((a.tolist(), b.tolist()))
                break

        assert pairs == [([i], [2 * i, 2 * i + 1]) for i in range(6)]
        assert_nothing_left(rt, outer, inner)


def test_a_generator_that_is_used_up_gives_nothing_the_second_time():
    numbers = (np.arange(3) for _ in range(2))

    assert sum(len(x) for x in ff.stream(numbers)) == 6
    assert list(ff.stream(numbers)) == []


@pytest.mark.parametrize("prefetch", PREFETCH)
def test_the_batch_before_stays_itself_while_another_thread_makes_the_next(prefetch):
    with ff.Runtime() as rt:
        before = None
        for batch in ff.stream(rt.start(Counter(500_000)), Same(), prefetch=prefetch):
            if before is not None:
                assert before[-1] + 1 == batch[0] == before[0] + len(before)
            before = batch


def test_a_stream_waits_for_what_another_thread_has_yet_to_send():
    asked = threading.Event()

    with ff.Runtime() as rt:
        told = rt.start(Told(asked=asked))

        def tell():
            assert asked.wait(WAIT)
            told.cast([1, 2])
            told.cast([3])
            told.cast("end")

        teller = threading.Thread(target=tell)
        teller.start()
        got = [x for batch in ff.stream(told) for x in batch.tolist()]
        teller.join(WAIT)

    assert got == [1, 2, 3]


def test_options_hold_for_every_subscription():
    for batch in ff.stream(ff.Range(10), writable=True):
        batch += 1
        assert batch.tolist() == list(range(1, 11))


# -- what is asked ---------------------------------------------------------------------------------


def test_nothing_more_is_asked_before_the_loop_comes_back():
    with ff.Runtime() as rt:
        echo, counter = rt.start(Echo()), rt.start(Counter())
        stream, seen = ff.stream(counter, max_demand=10, min_demand=6), []
        for batch in itertools.islice(stream, 3):
            echo.call("round")              # the scheduler has had its turns
            assert len(batch) == 4
            [edge] = rt.subscriptions()
            seen.append(edge.counters)
        stream.close()

    assert seen == [  # asked, sent, acked
        (10, 10, 0),
        (14, 14, 4),
        (18, 18, 8),
    ]


def test_nothing_is_asked_before_the_loop_begins():
    with ff.Runtime() as rt:
        told = rt.start(Told())
        stream = ff.stream(told)
        assert told.call("pending") == 0
        stream.close()


def test_prefetch_makes_batches_ahead_of_the_loop():
    made = threading.Semaphore(0)

    def step(x):
        made.release()
        return x

    stream = ff.stream(ff.Range(1000), step, prefetch=2, max_demand=10, min_demand=9)
    next(stream)
    for _ in range(3):                      # the one that the loop has, and two more
        assert made.acquire(timeout=WAIT)
    stream.close()


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("prefetch", PREFETCH)
def test_what_the_loop_has_not_had_goes_back_to_the_producer(driver, prefetch):
    with runtime(driver) as rt:
        counter, got = rt.start(Counter()), []
        for rounds in (1, 2, 5):
            stream = ff.stream(counter, prefetch=prefetch, max_demand=10)
            got += [x for batch in itertools.islice(stream, rounds) for x in batch.tolist()]
            stream.close()

        assert got == list(range(5 * 8))
        assert_nothing_left(rt, counter)


# -- the end of the loop ---------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("prefetch", PREFETCH)
def test_break_in_the_first_round_leaves_nothing_behind(driver, prefetch):
    reasons, threads = [], threading.active_count()
    with runtime(driver) as rt:
        behind = threading.active_count()
        told = rt.start(Told(reasons))
        told.cast([1, 2, 3])
        for batch in ff.stream(told, prefetch=prefetch):
            assert batch.tolist() == [1, 2, 3]
            break

        assert reasons == ["normal"]
        assert_nothing_left(rt, told)
        assert threading.active_count() == behind
        assert told.alive
    assert threading.active_count() == threads


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("prefetch", PREFETCH)
def test_an_exception_in_the_loop_ends_the_stream(driver, prefetch):
    def loop(counter):
        for batch in ff.stream(counter, Same(), prefetch=prefetch):
            raise ValueError(int(batch[0]))

    with runtime(driver) as rt:
        counter = rt.start(Counter())
        with pytest.raises(ValueError, match="0"):
            loop(counter)
        gc.collect()

        assert_nothing_left(rt, counter)


def test_close_ends_a_stream_that_is_held():
    with ff.Runtime() as rt:
        counter = rt.start(Counter())
        stream = ff.stream(counter, ff.step(lambda x: x, name="mine"))
        next(stream)

        stream.close()
        stream.close()

        assert list(stream) == []
        assert_nothing_left(rt, counter)
        with pytest.raises(KeyError, match="mine"):
            rt["mine"]


def test_a_stream_shows_where_it_is():
    stream = ff.stream(Counter(10), max_demand=4)
    next(stream)

    assert repr(stream) == (
        "<Batches of a stream: 0 ahead, <Subscription Counter-1 -> stream: asked 4, sent 4, acked 0>>")
    stream.close()
    assert repr(stream) == "<Batches of a stream: over>"


def test_a_with_block_ends_its_stream():
    with ff.Runtime() as rt:
        counter = rt.start(Counter())
        with ff.stream(counter) as batches:
            assert next(batches)[0] == 0

        assert_nothing_left(rt, counter)


def test_a_stream_in_a_cycle_ends_when_that_is_collected():
    with ff.Runtime() as rt:
        counter = rt.start(Counter())
        cycle = {"stream": ff.stream(counter)}
        cycle["self"] = cycle
        next(cycle["stream"])
        del cycle
        gc.collect()

        assert_nothing_left(rt, counter)


def test_a_stream_that_is_never_begun_leaves_nothing_behind():
    with ff.Runtime() as rt:
        counter = rt.start(Counter())
        ff.stream(counter, Same(), prefetch=2)
        gc.collect()

        assert_nothing_left(rt, counter)


def test_leaving_the_block_does_not_wait_for_a_stream_that_nobody_goes_on_with():
    with ff.Runtime() as rt:
        stream = ff.stream(rt.start(Counter()))
        next(stream)

    with pytest.raises(ff.Closed, match="its runtime was stopped before its producers had ended"):
        next(stream)


# -- the end of the producers ----------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("prefetch", PREFETCH)
def test_a_failure_is_raised_in_the_loop_and_nowhere_else(driver, prefetch):
    got = []
    with runtime(driver) as rt:
        source = rt.start(ff.FromIterable(failing([1, 2], [3])))
        with pytest.raises(OSError, match="the disk is gone"):
            for batch in ff.stream(source, prefetch=prefetch):
                got += batch.tolist()

        assert got == [1, 2, 3]
        assert_nothing_left(rt, source)


@pytest.mark.parametrize("prefetch", PREFETCH)
def test_a_failing_step_is_raised_in_the_loop(prefetch):
    def step(x):
        if 500 in x:
            raise ZeroDivisionError("on purpose")
        return x

    with ff.Runtime() as rt:
        counter, got = rt.start(Counter()), []
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            for batch in ff.stream(counter, step, prefetch=prefetch, max_demand=100):
                got += batch.tolist()

        assert got == list(range(500))
        assert_nothing_left(rt, counter)


def test_a_failure_that_the_loop_did_not_wait_for_stays_with_its_stage():
    failed = threading.Event()

    class Fails(Told):
        def terminate(self, reason):
            failed.set()

    def run():
        with ff.Runtime() as rt:
            told = rt.start(Fails())
            told.cast([1])
            for _ in ff.stream(told):
                told.cast(OSError("the disk is gone"))
                assert failed.wait(WAIT)
                break

    with pytest.raises(OSError, match="the disk is gone"):
        run()


def test_a_temporary_producer_that_fails_only_ends_the_stream():
    with ff.Runtime() as rt:
        source = rt.start(ff.FromIterable(failing([1, 2])))
        assert [x for b in ff.stream(source, cancel="temporary") for x in b.tolist()] == [1, 2]
        with pytest.raises(OSError, match="the disk is gone"):
            source.result(WAIT)


def test_a_step_of_a_temporary_stream_that_fails_is_logged(caplog):
    with caplog.at_level(logging.ERROR, "fastflow.pipeline"):
        assert list(ff.stream(ff.Range(3), lambda x: 1 // 0, cancel="temporary")) == []

    [record] = caplog.records
    assert record.getMessage() == "a stage of a stream failed, and the loop did not wait for it"
    assert isinstance(record.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize("prefetch", PREFETCH)
def test_batches_before_a_failure_of_another_producer_are_had_first(prefetch):
    got = []
    with pytest.raises(OSError, match="gone"):
        for batch in ff.stream([ff.Range(3), ff.FromIterable(failing([7]))], prefetch=prefetch):
            got += batch.tolist()

    assert sorted(got) == [0, 1, 2, 7]


@pytest.mark.parametrize("prefetch", PREFETCH)
def test_a_stream_that_nobody_can_wake_is_stalled(prefetch):
    rt = ff.Runtime()
    told = rt.start(Told(), name="told")
    with pytest.raises(ff.Stalled, match=re.escape("'told' was asked for ")):
        next(ff.stream(told, prefetch=prefetch))
    gc.collect()

    assert_nothing_left(rt, told)
    assert not rt.driven
    with pytest.raises(ff.Stalled, match="'Told-1' was asked for"):
        next(ff.stream(Told(), prefetch=prefetch))


def test_a_driver_that_dies_ends_the_wait_of_the_loop():
    def loop():
        with ff.Runtime() as rt:
            told = rt.start(Told())
            told.cast([1])
            for _ in ff.stream(told):
                told.cast(Dies())

    class Dies(Exception):
        pass

    def raises_interrupt(self, request):
        raise KeyboardInterrupt("in the thread behind")

    class Interrupts(Told):
        handle_cast = raises_interrupt

    with pytest.raises(Dies):
        loop()
    with pytest.raises(KeyboardInterrupt, match="in the thread behind"), ff.Runtime() as rt:
        told = rt.start(Interrupts())
        stream = ff.stream(told)
        threading.Timer(0.0, told.cast, ("now",)).start()
        next(stream)


def test_a_loop_whose_driver_leaves_drives_by_itself():
    rt, asked, raised = ff.Runtime(), threading.Event(), []
    counter, told = rt.start(Counter()), rt.start(Told(asked=asked))
    ahead = ff.stream(counter, prefetch=1)
    next(ahead)                             # a thread behind drives for it

    def loop():
        try:
            next(ff.stream(told))
        except ff.Stalled as error:
            raised.append(str(error))

    other = threading.Thread(target=loop)
    other.start()
    assert asked.wait(WAIT)                 # the other loop waits for that thread
    ahead.close()
    other.join(WAIT)

    assert len(raised) == 1
    assert "'Told-1' was asked for" in raised[0]
    rt.stop()


def test_ctrl_c_ends_the_wait_for_another_threads_batch():
    asked, main = threading.Event(), threading.main_thread().ident

    def press():
        assert asked.wait(WAIT)
        signal.pthread_kill(main, signal.SIGINT)

    with ff.Runtime() as rt:
        told = rt.start(Told(asked=asked))
        thread = threading.Thread(target=press)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            next(ff.stream(told))
        thread.join(WAIT)
        gc.collect()

        assert_nothing_left(rt, told)


# -- what can't be ---------------------------------------------------------------------------------


def test_a_class_among_producers_is_refused():
    with pytest.raises(TypeError, match=r"source: got the class Counter, expected a stage; write Counter\(\.\.\.\)"):
        ff.stream([Counter])
    with pytest.raises(TypeError, match="got the class Counter"):
        ff.stream([ff.Range(3), (Counter, {})])


def test_a_consumer_is_no_source():
    with ff.Runtime() as rt:
        total = rt.start(Total(), name="total")
        with pytest.raises(ff.GraphError, match=r"source: got 'total', a consumer, expected a producer; make it an"):
            ff.stream(total)
        with pytest.raises(ff.GraphError, match=r"source: got a Total, expected a producer"):
            ff.stream([total, Total()][1:])


def test_what_is_no_producer_among_producers_is_refused():
    with pytest.raises(TypeError, match=r"got int among producers, expected a ref, a producer, or a pair"):
        ff.stream([ff.Range(3), 3])


def test_refs_of_two_runtimes_are_refused():
    with ff.Runtime() as one, ff.Runtime() as two:
        refs = [one.start(Counter(), name="a"), two.start(Counter(), name="b")]
        with pytest.raises(ff.GraphError, match=r"stages of two runtimes, 'a' and 'b', expected all of one; start"):
            ff.stream(refs)


def test_a_closed_runtime_is_refused():
    with ff.Runtime() as rt:
        counter = rt.start(Counter(5), name="counter")

    with pytest.raises(ff.Closed, match=r"stream: the runtime of 'counter' is closed, expected an open one; stream in"):
        ff.stream(counter)


def test_a_ref_is_no_source_of_run_and_no_step():
    rt = ff.Runtime()
    counter = rt.start(Counter(5), name="counter")
    with pytest.raises(TypeError, match=r"source: got the ref 'counter', .*; loop over ff\.stream\(ref\), or"):
        ff.run(counter, ff.Sum())
    with pytest.raises(TypeError, match="step: got <Ref counter"):
        ff.stream(counter, counter)

    assert_nothing_left(rt, counter)


def test_a_seed_is_the_runtimes():
    counter = ff.Runtime().start(Counter(5))
    with pytest.raises(ff.OptionError, match=r"seed of a stream: got 3 with a ref, .*; write ff.Runtime\(seed"):
        ff.stream(counter, seed=3)


@pytest.mark.parametrize("prefetch", [-1, 1.5, True, None])
def test_a_prefetch_that_is_no_number_of_batches_is_refused(prefetch):
    text = f"prefetch of a stream: got {re.escape(repr(prefetch))}, expected"
    with pytest.raises((TypeError, ValueError), match=text):
        ff.stream(ff.Range(3), prefetch=prefetch)


def test_bad_options_are_refused_at_the_call_and_leave_nothing_behind():
    with ff.Runtime() as rt:
        counter = rt.start(Counter(), name="counter")
        with pytest.raises(ff.OptionError, match=r"got 'prefech', expected one of .*; did you mean 'prefetch'"):
            ff.stream(counter, prefech=3)
        with pytest.raises(ff.OptionError, match=r"'counter': unknown option: got 'max_demnad'.*did you mean"):
            ff.stream([(counter, dict(max_demnad=3))], Same(), Same())
        with pytest.raises(ff.DemandError, match=r"max_demand of the subscription of 'Same-.' to 'counter': got 0"):
            ff.stream(counter, Same(), max_demand=0)

        assert_nothing_left(rt, counter)


def test_a_stream_in_a_callback_of_the_same_runtime_is_refused():
    class Loops(ff.Consumer):
        def __init__(self, refs):
            self.refs = refs

        def handle_events(self, events, source):
            return None

        def handle_call(self, request, reply):
            try:
                list(ff.stream(self.refs[0]))
            except ff.CallbackError as error:
                return str(error)

    with ff.Runtime() as rt:
        refs = [rt.start(Counter(5))]
        text = rt.start(Loops(refs)).call("now")

    assert text == (
        "stream: got a loop in a callback of the same runtime, expected one in another thread, since it would wait for "
        "itself; subscribe the stage instead"
    )
