"""What a newcomer runs into first: mistakes, and what the library says about them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import fastflow as ff
from fastflow.errors import NotDriven


class Count(ff.Producer):
    """Emits 0 to n - 1."""
    dtype = "int64"
    state = ("next",)

    def __init__(self, n=10):
        self.n, self.next = n, 0

    def handle_demand(self, demand):
        first, self.next = self.next, min(self.n, self.next + demand)
        if self.next == self.n:
            self.finish()
        return np.arange(first, self.next)


class Echo(ff.Consumer):
    def handle_events(self, events, source):
        return None

    def handle_call(self, request, reply):
        return request


# -- waits that nobody would end --


@pytest.mark.parametrize(
    "wait",
    [
        lambda rt, ref: ref.result(),
        lambda rt, ref: ref.join(),
        lambda rt, ref: ref.call("anybody there?"),
        lambda rt, ref: rt.join(),
        lambda rt, ref: rt.drain(),
        lambda rt, ref: next(ff.stream(rt.start(Count()))),
    ],
    ids=["result", "join", "call", "rt.join", "drain", "stream"],
)
def test_a_wait_in_a_block_of_paused_is_an_error_at_once(wait):
    with ff.Runtime() as rt:
        ref = rt.start(Echo())
        with rt.paused(), pytest.raises(NotDriven, match=r"inside of `with rt.paused\(\):`.*leave that block first"):
            wait(rt, ref)
        assert ref.call("anybody there?") == "anybody there?"


def test_a_run_in_a_block_of_paused_is_an_error_and_stops_nothing():
    rt = ff.Runtime()
    with rt.paused():
        count = rt.start(ff.Count(), name="count", subscribe_to=[rt.start(Count(1000))])
        with pytest.raises(NotDriven, match="run: got a wait inside of"):
            rt.run()
    assert rt.run() == {"count": 1000}
    assert count.result() == 1000


def test_stages_can_be_stopped_in_a_block_of_paused():
    with ff.Runtime() as rt, rt.paused():
        first, second = rt.start_many(Echo(), 2)
        first.stop()
        second.kill()
        assert first.join() == "shutdown"


@pytest.mark.parametrize("timeout", ["5", -1, True, float("nan"), [5]], ids=repr)
@pytest.mark.parametrize(
    "wait",
    [
        lambda rt, ref, timeout: ref.result(timeout=timeout),
        lambda rt, ref, timeout: ref.join(timeout=timeout),
        lambda rt, ref, timeout: ref.call("anybody there?", timeout=timeout),
        lambda rt, ref, timeout: asyncio.run(ref.acall("anybody there?", timeout=timeout)),
        lambda rt, ref, timeout: ref.sync_info("hello", timeout=timeout),
        lambda rt, ref, timeout: ref.stop(timeout=timeout),
        lambda rt, ref, timeout: ref.kill(timeout=timeout),
        lambda rt, ref, timeout: rt.join(timeout=timeout),
        lambda rt, ref, timeout: rt.drain(timeout=timeout),
        lambda rt, ref, timeout: rt.stop(timeout=timeout),
        lambda rt, ref, timeout: ff.Runtime().run(timeout=timeout),
        lambda rt, ref, timeout: ff.run(Count(), ff.Count(), timeout=timeout),
    ],
)
def test_a_timeout_that_is_no_time_is_refused(wait, timeout):
    with ff.Runtime() as rt:
        ref = rt.start(Echo())
        with pytest.raises(ValueError, match=r"timeout of .*: got .*, expected seconds from 0 up, or None to wait for ever"):
            wait(rt, ref, timeout)
        assert ref.call("still there?", timeout=np.float64(5)) == "still there?"
