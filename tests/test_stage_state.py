"""What a turn that fails leaves as it was: state, Retry, positions and random numbers."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_stage import Counter, Log, Push, Total, failure, flat

import fastflow as ff
from fastflow.errors import StateError
from fastflow.testing import ManualClock, Recorder, settle, stage_of

# -- state ----------------------------------------------------------------------------------------


class Stateful(ff.Consumer):
    """Changes every kind of state, and on the first try of each turn thinks better of it."""

    state = ("number", "text", "pair", "array", "table", "nothing")

    def __init__(self, seen):
        self.seen, self.tries = seen, 0
        self.number, self.text, self.pair = 0, "", (0, 0.0)
        self.array, self.table, self.nothing = np.zeros(3), {"rows": []}, None

    def turn(self, what):
        self.tries += 1
        self.seen.append(
            (
                self.number,
                self.text,
                self.pair,
                self.array.tolist(),
                self.table["rows"][:],
                self.nothing,
            )
        )
        self.number += 1
        self.text += "x"
        self.pair = (self.number, self.number / 2)
        self.array += 1
        self.table["rows"].append(self.number)
        self.nothing = self.number
        if self.tries % 2:
            raise ff.Retry
        return None

    def handle_events(self, events, source):
        self.turn(events)

    def handle_cast(self, request):
        self.turn(request)

    def handle_info(self, message):
        self.turn(message)


def check_states(seen, turns):
    """Each turn was tried twice and began in the same state, that of the turn before it."""
    assert len(seen) == 2 * turns
    for i in range(turns):
        assert seen[2 * i] == seen[2 * i + 1]
        assert seen[2 * i][0] == i
        assert seen[2 * i][1] == "x" * i
        assert seen[2 * i][3] == [float(i)] * 3
        assert seen[2 * i][4] == list(range(1, i + 1))


def test_declared_state_is_rolled_back_when_a_batch_is_retried():
    rt, seen = ff.Runtime(), []
    producer = rt.start(Counter(0, 20))
    rt.start(Stateful(seen), subscribe_to=[(producer, dict(max_demand=4, min_demand=2))])

    settle(rt)

    check_states(seen, 10)


@pytest.mark.parametrize("how", ["cast", "info"])
def test_declared_state_is_rolled_back_when_a_message_is_retried(how):
    rt, seen = ff.Runtime(), []
    consumer = rt.start(Stateful(seen))
    for i in range(4):
        getattr(consumer, how)(i)

    settle(rt)

    check_states(seen, 4)


def test_declared_state_is_rolled_back_when_demand_is_retried():
    seen = []

    class Tries(Counter):
        def __init__(self, stop):
            super().__init__(0, stop)
            self.tries = 0

        def handle_demand(self, demand):
            seen.append((self.next, demand))
            out = super().handle_demand(min(demand, 5))
            self.tries += 1
            if self.tries % 2:
                raise ff.Retry(after=0)
            return out

    rt = ff.Runtime()
    producer = rt.start(Tries(20))
    recorder = rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=10))])
    settle(rt)

    assert flat(recorder) == list(range(20))
    assert seen[0::2] == seen[1::2]
    assert [position for position, _ in seen[0::2]] == [0, 5, 10, 15]


def test_what_is_not_declared_is_not_rolled_back():
    rt, seen = ff.Runtime(), []
    consumer = rt.start(Stateful(seen))
    consumer.cast(1)
    settle(rt)

    assert stage_of(consumer).tries == 2


def test_an_array_of_state_stays_the_same_object():
    """It is copied back into, so other references to it see the rolled-back values too."""

    class Holds(ff.Consumer):
        state = ("array",)

        def __init__(self):
            self.array, self.tries = np.zeros(4), 0

        def handle_cast(self, request):
            self.array[request] += 1
            self.tries += 1
            if self.tries == 2:
                raise ff.Retry

        def handle_events(self, events, source):
            return None

    rt = ff.Runtime()
    consumer = rt.start(Holds())
    for i in (0, 1, 2):
        consumer.cast(i)
    settle(rt)

    assert stage_of(consumer).array.tolist() == [1.0, 1.0, 1.0, 0.0]


def test_an_array_of_state_may_be_replaced_by_one_of_another_shape():
    class Grows(ff.Consumer):
        state = ("array",)

        def __init__(self):
            self.array, self.tries = np.zeros(1), 0

        def handle_cast(self, request):
            self.array = np.append(self.array, request)
            self.tries += 1
            if self.tries % 2:
                raise ff.Retry

        def handle_events(self, events, source):
            return None

    rt = ff.Runtime()
    consumer = rt.start(Grows())
    for i in (1, 2, 3):
        consumer.cast(i)
    settle(rt)

    assert stage_of(consumer).array.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_failed_turn_is_undone_before_terminate():
    left = []

    class Fails(Total):
        def handle_events(self, events, source):
            super().handle_events(events, source)
            if events[-1] >= 4:
                raise ZeroDivisionError("on purpose")

        def terminate(self, reason):
            left.append(self.total)

    rt = ff.Runtime()
    producer = rt.start(Counter(0, 10))
    consumer = rt.start(Fails(), subscribe_to=[(producer, dict(max_demand=4, min_demand=2))])
    settle(rt)

    assert isinstance(consumer.join(), ZeroDivisionError)
    assert left == [0 + 1 + 2 + 3]


def test_state_that_was_never_set_is_refused():
    class Unset(Push):
        state = ("position",)

    error = failure(ff.Runtime(), Unset())

    assert isinstance(error, StateError)
    assert "position" in str(error)


def test_state_that_cannot_be_pickled_is_refused():
    class Open(Push):
        state = ("handle",)

        def __init__(self):
            self.handle = (x for x in ())

    error = failure(ff.Runtime(), Open())

    assert isinstance(error, StateError)
    assert "handle" in str(error)


def test_state_that_is_too_large_is_refused():
    """DESIGN 8: 64 KiB together; `ff.Table` is for more."""

    class Large(Push):
        state = ("array",)

        def __init__(self):
            self.array = np.zeros(100_000)

    error = failure(ff.Runtime(), Large())

    assert isinstance(error, StateError)
    assert "array" in str(error) or "64" in str(error)


# -- Retry ----------------------------------------------------------------------------------------


def test_a_retried_batch_is_the_same_batch_later():
    clock, tries = ManualClock(), []

    class Flaky(ff.Consumer):
        def handle_events(self, events, source):
            tries.append((clock_now[0], events.tolist()))
            if len(tries) == 2:
                raise ff.Retry(after=1.5)

    clock_now = [0.0]
    rt = ff.Runtime(clock=clock)
    producer = rt.start(Counter(0, 6))
    consumer = rt.start(Flaky(), subscribe_to=[(producer, dict(max_demand=4, min_demand=2))])
    settle(rt)
    assert tries == [(0.0, [0, 1]), (0.0, [2, 3])]

    clock_now[0] = 1.0
    clock.advance(1.0)
    settle(rt)
    assert len(tries) == 2

    clock_now[0] = 1.5
    clock.advance(0.5)
    settle(rt)
    assert tries[2:] == [(1.5, [2, 3]), (1.5, [4, 5])]
    assert consumer.join() == "normal"


def test_until_the_retry_the_stage_takes_no_other_turn():
    """DESIGN 3."""
    clock, log = ManualClock(), []

    class Flaky(Log):
        def handle_cast(self, request):
            super().handle_cast(request)
            if self.log.count(("cast", "first")) == 1:
                raise ff.Retry(after=2.0)

    rt = ff.Runtime(clock=clock)
    consumer = rt.start(Flaky(log))
    consumer.cast("first")
    settle(rt)
    consumer.cast("second")
    consumer.info("third")
    settle(rt)
    assert log == ["setup", ("cast", "first")]

    clock.advance(2.0)
    settle(rt)

    assert log == [
        "setup",
        ("cast", "first"),
        ("cast", "first"),
        ("cast", "second"),
        ("info", "third"),
    ]


def test_nothing_leaves_a_turn_that_is_retried():
    """Events, casts and timers of a turn go with its commit."""
    clock, log = ManualClock(), []

    class Flaky(Push):
        def __init__(self, other):
            self.other, self.tries = other, 0

        def handle_cast(self, request):
            self.emit([1, 2])
            self.other.cast("hello")
            self.after(1.0, "timer")
            self.tries += 1
            if self.tries < 3:
                raise ff.Retry
            return [3]

        def handle_info(self, message):
            return [4]

    rt = ff.Runtime(clock=clock)
    other = rt.start(Log(log))
    producer, recorder = rt.start(Flaky(other)), rt.start(Recorder())
    recorder.subscribe(producer)
    producer.cast("go")
    settle(rt)
    clock.advance(5.0)
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == [1, 2, 3, 4]
    assert log.count(("cast", "hello")) == 1


def test_positions_do_not_move_in_a_turn_that_is_retried():
    seen = []

    class Flaky(ff.Consumer):
        def handle_events(self, events, source):
            seen.append((self.handled, events.tolist()))
            if len(seen) % 2:
                raise ff.Retry

    rt = ff.Runtime()
    producer = rt.start(Counter(0, 4))
    rt.start(Flaky(), subscribe_to=[(producer, dict(max_demand=2, min_demand=0))])
    settle(rt)

    assert seen == [(0, [0, 1]), (0, [0, 1]), (2, [2, 3]), (2, [2, 3])]


# -- positions and random numbers -----------------------------------------------------------------


def test_emitted_is_the_position_in_the_output():
    positions = []

    class Knows(Counter):
        def setup(self):
            positions.append(("setup", self.emitted))

        def handle_demand(self, demand):
            positions.append((self.next, self.emitted))
            return super().handle_demand(min(demand, 7))

        def result(self):
            return self.emitted

    rt = ff.Runtime()
    producer = rt.start(Knows(0, 30))
    rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=10))])
    settle(rt)

    assert positions[0] == ("setup", 0)
    assert len(positions) > 4
    assert all(position == emitted for position, emitted in positions[1:])
    assert producer.result() == 30


def test_handled_is_the_position_in_the_input():
    positions = []

    class Knows(ff.Consumer):
        def setup(self):
            positions.append((0, self.handled))

        def handle_events(self, events, source):
            positions.append((int(events[0]), self.handled))

        def result(self):
            return self.handled

    rt = ff.Runtime()
    producer = rt.start(Counter(0, 30))
    consumer = rt.start(Knows(), subscribe_to=[(producer, dict(max_demand=6))])
    settle(rt)

    assert all(first == handled for first, handled in positions)
    assert consumer.result() == 30


class Draws(ff.Producer):
    """Emits random numbers."""

    dtype = "float64"

    def __init__(self, flaky=False):
        self.flaky, self.tries = flaky, 0

    def handle_demand(self, demand):
        numbers = self.rng.random(4)
        self.tries += 1
        if self.flaky and self.tries % 2:
            raise ff.Retry
        if self.emitted == 8:
            self.finish()
        return numbers


def draw(seed, name="draws", **arguments):
    rt = ff.Runtime(seed=seed)
    producer = rt.start(Draws(**arguments), name=name)
    recorder = rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=4, min_demand=0))])
    settle(rt)
    return np.concatenate(recorder.result()).tolist()


def test_the_same_seed_gives_the_same_numbers():
    assert draw(1) == draw(1)
    assert len(set(draw(1))) == 12


def test_another_seed_or_stage_gives_other_numbers():
    assert draw(1) != draw(2)
    assert draw(1) != draw(1, name="other")


def test_a_retried_turn_draws_the_same_numbers_again():
    assert draw(1, flaky=True) == draw(1)
