"""Corners where two things meet in one turn: a Retry and a cancel, a stop and a callback, a start inside of another.

Each was a defect once.
"""

import threading

import numpy as np
import pytest

import fastflow as ff
from fastflow.testing import ManualClock, Recorder, Script, settle, stage_of, step


class Endless(ff.Producer):
    dtype = "int64"

    def __init__(self):
        self.next = 0

    def handle_demand(self, demand):
        out = self.claim(demand)
        ff.fill_range(out, self.next)
        self.next += demand
        return out


def test_a_subscription_cancelled_while_its_turn_is_put_off_does_no_harm():
    class PutsOff(ff.Consumer):
        def handle_events(self, events, source):
            raise ff.Retry(after=1.0)

    clock = ManualClock()
    rt = ff.Runtime(clock=clock)
    numbers = rt.start(Endless())
    waiting = rt.start(PutsOff())
    subscription = waiting.subscribe(numbers, cancel="temporary", max_demand=10)
    settle(rt)

    subscription.cancel()
    clock.advance(2.0)
    settle(rt)

    assert waiting.alive
    assert numbers.alive


def test_demand_that_was_cancelled_while_it_was_put_off_is_not_answered():
    class PutsOff(ff.Producer):
        dtype = "int64"

        def __init__(self, demands):
            self.demands = demands

        def handle_demand(self, demand):
            self.demands.append(demand)
            raise ff.Retry(after=1.0)

    clock, demands = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    producer = rt.start(PutsOff(demands))
    subscription = rt.start(Recorder()).subscribe(producer, cancel="temporary", max_demand=10)
    settle(rt)

    subscription.cancel()
    clock.advance(2.0)
    settle(rt)

    assert demands == [10]


def test_a_timer_cancelled_in_a_turn_that_is_put_off_still_fires():
    class Cancels(ff.Consumer):
        def __init__(self, heard):
            self.heard, self.tries = heard, 0

        def setup(self):
            self.timer = self.after(5.0, "late")

        def handle_cast(self, request):
            self.tries += 1
            if self.tries == 1:
                self.timer.cancel()
                raise ff.Retry(after=1.0)

        def handle_info(self, message):
            self.heard.append(message)

    clock, heard = ManualClock(), []
    rt = ff.Runtime(clock=clock)
    stage = rt.start(Cancels(heard))
    stage.cast("cancel it")
    for _ in range(6):
        settle(rt)
        clock.advance(1.0)
    settle(rt)

    assert heard == ["late"]


def test_converted_events_go_back_as_they_were():
    class Holds(ff.Consumer):
        accepts = "int64"

        def handle_subscribe(self, role, options, subscription):
            subscription.ask(4)
            return "manual"

        def handle_events(self, events, source):
            raise ff.Retry(after=100.0)

    rt = ff.Runtime(clock=ManualClock())
    numbers = rt.start(Script([np.arange(4, 8, dtype="int32"), np.arange(8, 10, dtype="int32")], dtype="int32"))
    first = rt.start(Holds()).subscribe(numbers, convert=True, cancel="temporary")
    settle(rt)

    first.cancel()
    second = rt.start(Recorder(), subscribe_to=[numbers])
    settle(rt)

    assert np.concatenate(stage_of(second).batches).tolist() == [4, 5, 6, 7, 8, 9]
    assert stage_of(second).batches[0].dtype == np.int32


def test_one_event_of_several_numbers_does_not_fix_the_order_of_the_next():
    shape = np.dtype([("v", "f8", (3,)), ("i", "i8")])
    batches = [np.zeros(1, shape), np.zeros(2, shape)]
    batches[1]["v"] = [[0, 1, 2], [3, 4, 5]]
    seen = []

    ff.run(
        ff.testing.Script(batches, dtype=shape),
        lambda batch: seen.append((batch["v"].flags.f_contiguous, batch["v"].ravel("F").tolist())),
        max_demand=2,
        min_demand=0,
    )

    flat = [value for flag, values in seen for value in values]
    assert flat[3:] in ([0, 3, 1, 4, 2, 5], [0, 1, 2, 3, 4, 5])
    for flag, values in seen:
        assert flag == (len(values) == 3)


def test_whole_batches_of_any_size_are_delivered():
    class Lumps(ff.Producer):
        dtype, whole = "int64", 20_000

        def __init__(self):
            self.sizes = [15_000, 20_000, 1, 20_000]

        def handle_demand(self, demand):
            if len(self.sizes) == 1:
                self.finish()
            return np.zeros(self.sizes.pop(0), dtype="int64")

    seen = []
    ff.run(Lumps(), lambda events: seen.append(len(events)))

    assert seen == [15_000, 20_000, 1, 20_000]


def test_a_claim_is_held_to_whole_too():
    class TooMuch(ff.Producer):
        dtype, whole = "int64", 4

        def handle_demand(self, demand):
            return self.claim(10)

    with pytest.raises(ff.CallbackError, match="expected at most whole = 4"):
        ff.run(TooMuch(), ff.Count())


def test_an_empty_part_of_the_input_is_no_events():
    seen = []
    ff.run(ff.Range(10), lambda events: events[3:3], lambda events: seen.append(len(events)), max_demand=4)

    assert seen == []


def test_a_list_that_its_producer_uses_again_is_copied():
    class Reuses(ff.Producer):
        dtype = object

        def __init__(self):
            self.buffer, self.next = [0] * 10, 0

        def handle_demand(self, demand):
            self.buffer[:] = range(self.next, self.next + 10)
            self.next += 10
            if self.next == 50:
                self.finish()
            return self.buffer

    assert ff.run(Reuses(), ff.Collect(), max_demand=100) == list(range(50))


def test_a_stage_may_be_started_and_subscribed_in_a_callback_of_its_producer():
    class Grows(ff.Producer):
        dtype = "int64"

        def __init__(self, seen):
            self.seen, self.tries = seen, 0

        def handle_cast(self, rt):
            self.tries += 1
            self.emit([1, 2, 3])
            if self.tries == 1:
                rt.start(Recorder(), subscribe_to=["source"], name="late")
                raise ff.Retry()
            self.emit([4])
            self.finish()

    rt = ff.Runtime(clock=ManualClock())
    source = rt.start(Grows([]), name="source")
    source.cast(rt)
    results = rt.run()

    assert source.statistics()["emitted"] == 4
    assert rt.failures == {}
    assert sum(len(batch) for batch in results.get("late") or []) in (0, 4)


def test_stopping_the_runtime_in_a_callback_takes_effect_after_its_turn():
    handled = []

    class Stops(ff.Consumer):
        def __init__(self, rt):
            self.rt = rt

        def handle_events(self, events, source):
            self.rt.stop()
            handled.extend(events.tolist())

    rt = ff.Runtime()
    numbers = rt.start(Endless())
    stops = rt.start(Stops(rt), subscribe_to=[(numbers, {"max_demand": 4})])
    rt.run()

    assert handled == [0, 1]
    assert not stops.alive


def test_another_thread_may_stop_a_runtime_that_run_drives():
    rt = ff.Runtime()
    numbers = rt.start(ff.Range(0, None))
    total = rt.start(ff.Sum(), subscribe_to=[numbers])
    stopper = threading.Timer(0.05, rt.stop)
    stopper.start()

    rt.run(timeout=30)
    stopper.join(10)

    assert not total.alive
    assert total.result() >= 0


def test_run_on_a_runtime_that_is_driven_refuses_and_leaves_it_alone():
    with ff.Runtime() as rt:
        stage = rt.start(Endless())
        with pytest.raises(RuntimeError, match="driven already"):
            rt.run()
        assert stage.alive


def test_a_stream_that_is_never_iterated_is_stopped_when_it_is_closed():
    ends = []

    class Tells(ff.Producer):
        dtype = "int64"

        def terminate(self, reason):
            ends.append(reason)

    ff.stream(Tells()).close()

    assert ends == ["shutdown"]


def test_a_step_that_raises_stop_iteration_does_not_end_the_loop_in_silence():
    def stops(batch):
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        list(ff.stream(ff.Range(5), stops))


def test_a_failure_in_format_discarded_is_its_stages_own():
    class Tells(ff.Producer):
        dtype, buffer_size = "int64", 2

        def handle_demand(self, demand):
            return list(range(demand + 10))

        def format_discarded(self, count):
            raise ZeroDivisionError(count)

    rt = ff.Runtime()
    producer = rt.start(Tells())
    other = rt.start(Endless())
    rt.start(Recorder(), subscribe_to=[(producer, {"max_demand": 5})])
    settle(rt)

    assert isinstance(producer.join(), ZeroDivisionError)
    assert other.alive


def test_waits_on_a_closed_runtime_return_at_once():
    with ff.Runtime() as rt:
        rt.start(ff.Range(3))

    rt.join()
    rt.drain()


class ByHand(ff.Consumer):
    def handle_subscribe(self, role, options, subscription):
        return "manual"

    def handle_events(self, events, source):
        return None


def test_single_turns_reach_the_end_of_a_native_source_that_has_nothing_left_to_give():
    rt = ff.Runtime()
    numbers = rt.start(ff.Range(100))
    hand = rt.start(ByHand())
    hand.subscribe(numbers).ask(1000)

    turns = 0
    while step(rt):
        turns += 1

    assert turns > 2
    assert numbers.join() == "normal"
