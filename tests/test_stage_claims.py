"""Claims: memory to write in place, and everything that can be wrong with one."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_stage import Counter, Push, failure, failure_of_demand, flat

import fastflow as ff
from fastflow.errors import CallbackError, FastflowError
from fastflow.testing import Recorder, settle, stage_of


def test_a_part_of_a_claim_may_be_returned():
    class Part(Counter):
        def handle_demand(self, demand):
            out = self.claim(demand)
            out[:] = -1
            k = min(3, self.end - self.next)
            ff.fill_range(out[:k], self.next)
            self.next += k
            if self.next == self.end:
                self.finish()
            return out[:k]

    rt = ff.Runtime()
    producer = rt.start(Part(0, 20))
    recorder = rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=8))])
    settle(rt)

    assert flat(recorder) == list(range(20))


def test_a_claim_may_be_emitted_and_another_made():
    class Twice(Push):
        def handle_cast(self, request):
            out = self.claim(2)
            out[:] = [1, 2]
            self.emit(out)
            out = self.claim(1)
            out[:] = 3
            return out

    rt = ff.Runtime()
    producer, recorder = rt.start(Twice()), rt.start(Recorder())
    recorder.subscribe(producer)
    producer.cast("now")
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == [1, 2, 3]


def test_a_claim_of_nothing_is_empty():
    class Zero(Push):
        def handle_cast(self, request):
            out = self.claim(0)
            assert out.shape == (0,)
            assert out.dtype == np.dtype("int64")
            return out

    rt = ff.Runtime()
    producer = rt.start(Zero())
    producer.cast("now")
    settle(rt)

    assert producer.alive
    assert producer.estimate_buffered_count() == 0


def test_a_claim_may_be_larger_than_the_demand():
    class Large(Push):
        def handle_cast(self, request):
            out = self.claim(request)
            ff.fill_range(out, 0)
            return out

    rt = ff.Runtime()
    producer, recorder = rt.start(Large()), rt.start(Recorder())
    recorder.subscribe(producer, max_demand=4)
    producer.cast(1000)
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == list(range(1000))


def test_a_claim_that_is_not_returned_is_nothing():
    class Forgets(Push):
        def handle_cast(self, request):
            out = self.claim(3)
            out[:] = request
            return out if request == 7 else None

    rt = ff.Runtime()
    producer, recorder = rt.start(Forgets()), rt.start(Recorder())
    recorder.subscribe(producer)
    for request in (5, 6, 7):
        producer.cast(request)
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == [7, 7, 7]


def test_a_claimed_array_that_is_kept_and_written_later_changes_nothing():
    kept = []

    class Keeps(Push):
        def handle_cast(self, request):
            out = self.claim(3)
            out[:] = request
            kept.append(out)
            return out

    rt = ff.Runtime()
    producer = rt.start(Keeps())
    producer.cast(1)
    settle(rt)
    kept[0][:] = 99
    recorder = rt.start(Recorder())
    recorder.subscribe(producer)
    settle(rt)

    assert np.concatenate(stage_of(recorder).batches).tolist() == [1, 1, 1]


def test_a_claim_outside_a_callback_is_refused():
    ref = ff.Runtime().start(Counter(0, 10))

    with pytest.raises(CallbackError, match="claim"):
        stage_of(ref).claim(3)


@pytest.mark.parametrize("n", [-1, 1.5, "3", None, True])
def test_a_claim_of_no_count_is_refused(n):
    reason = failure_of_demand(lambda stage, demand: stage.claim(n))

    assert isinstance(reason, (TypeError, ValueError))


def test_a_claim_of_objects_is_refused():
    reason = failure_of_demand(lambda stage, demand: stage.claim(3), dtype="object")

    assert isinstance(reason, FastflowError)
    assert "object" in str(reason)


def test_a_second_claim_before_the_first_was_emitted_is_refused():
    reason = failure_of_demand(lambda stage, demand: (stage.claim(2), stage.claim(2))[1])

    assert isinstance(reason, CallbackError)
    assert "claim" in str(reason)


def test_a_consumer_cannot_claim():
    class Claims(ff.Consumer):
        def handle_events(self, events, source):
            self.claim(3)

    error = failure(rt := ff.Runtime(), Claims(), subscribe_to=[rt.start(Counter(0, 5))])

    assert isinstance(error, (FastflowError, AttributeError))


@pytest.mark.parametrize(
    "overlap",
    [lambda out: out[1:], lambda out: out[::-1], lambda out: out[::2]],
    ids=["its end", "reversed", "every second"],
)
def test_what_overlaps_the_claim_without_being_its_beginning_is_refused(overlap):
    reason = failure_of_demand(lambda stage, demand: overlap(stage.claim(6)))

    assert isinstance(reason, CallbackError)
    assert "claim" in str(reason)


def test_more_than_was_claimed_is_refused():
    def longer(stage, demand):
        return np.lib.stride_tricks.as_strided(stage.claim(4), (8,))

    reason = failure_of_demand(longer)

    assert isinstance(reason, CallbackError)
    assert "claim" in str(reason)
