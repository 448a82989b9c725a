"""Failures in a runtime: who ends with them, who raises them, and what they say."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from helpers_runtime import WAIT, Counter, FailsAt, Same, Total
from helpers_stage import Push

import fastflow as ff
from fastflow.testing import Recorder, settle


def notes(error):
    """All notes of an exception, in one text."""
    return "\n".join(getattr(error, "__notes__", []))


def test_a_failure_that_nobody_fetched_is_raised_when_the_block_is_left():
    with pytest.raises(ZeroDivisionError), ff.Runtime() as rt:
        rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])


@pytest.mark.parametrize("fetch", ["result", "join"])
def test_a_failure_that_was_fetched_is_not_raised_again(fetch):
    with ff.Runtime() as rt:
        failing = rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])
        if fetch == "join":
            assert isinstance(failing.join(timeout=WAIT), ZeroDivisionError)
        else:
            with pytest.raises(ZeroDivisionError):
                failing.result(timeout=WAIT)


def test_several_failures_are_raised_together():
    with pytest.raises(ExceptionGroup) as raised, ff.Runtime() as rt:
        rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])
        rt.start(FailsAt(5), subscribe_to=[rt.start(Counter(10))])

    assert [type(error) for error in raised.value.exceptions] == [ZeroDivisionError] * 2


def test_a_failure_that_ended_other_stages_is_one_failure():
    """Raised once, and fetched at any of them it is fetched."""

    class Fails(Push):
        def handle_cast(self, request):
            raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError), ff.Runtime() as rt:
        push = rt.start(Fails())
        same = rt.start(Same(), subscribe_to=[push])
        rt.start(Total(), subscribe_to=[same])
        push.cast("now")

    with ff.Runtime() as rt:
        push = rt.start(Fails())
        same = rt.start(Same(), subscribe_to=[push])
        total = rt.start(Total(), subscribe_to=[same])
        push.cast("now")
        assert isinstance(total.join(timeout=WAIT), ZeroDivisionError)


def test_a_failure_says_where_it_happened():
    """Stage, callback, source and the positions of the batch in the stream."""
    rt = ff.Runtime()
    counter = rt.start(Counter(10_000), name="numbers")
    failing = rt.start(FailsAt(700), name="divider")
    failing.subscribe(counter, max_demand=128, min_demand=64)
    settle(rt)

    error = failing.join()

    text = notes(error)
    assert "divider" in text
    assert "handle_events" in text
    assert "numbers" in text
    assert "640" in text
    assert any(end in text for end in ("703", "704", "64 events"))


@pytest.mark.parametrize(
    "callback", ["handle_demand", "handle_cast", "handle_info", "handle_end", "setup"]
)
def test_a_failure_names_its_callback(callback):
    def fails(self, *arguments):
        raise ZeroDivisionError("on purpose")

    kind = Same if callback == "handle_end" else Push
    failing = type("Failing", (kind,), {callback: fails})
    rt = ff.Runtime()
    try:
        if callback == "handle_end":
            ref = rt.start(failing(), name="broken", subscribe_to=[rt.start(Counter(5))])
        else:
            ref = rt.start(failing(), name="broken")
        rt.start(Recorder(), subscribe_to=[(ref, dict(cancel="temporary"))])
        ref.cast("now") if callback == "handle_cast" else ref.info("now")
        settle(rt)
        error = ref.join()
    except ZeroDivisionError as raised:  # a setup that fails may fail its start
        error = raised

    assert isinstance(error, ZeroDivisionError)
    assert callback in notes(error)
    assert "broken" in notes(error)


def test_a_failure_shows_the_users_frames_and_none_of_ours():
    rt = ff.Runtime()
    failing = rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])
    settle(rt)

    with pytest.raises(ZeroDivisionError) as raised:
        failing.result()

    frames = traceback.extract_tb(raised.value.__traceback__)
    assert frames[-1].name == "handle_events"
    here = Path(__file__).parent             # the callback's file is another one of the tests
    assert Path(frames[-1].filename).parent == here
    ours = [frame for frame in frames if Path(frame.filename).parent != here]
    assert len(ours) <= 1, "only result() itself may stand between the test and the callback"


def test_a_failure_fetched_twice_is_the_same():
    rt = ff.Runtime()
    failing = rt.start(FailsAt(3), subscribe_to=[rt.start(Counter(10))])
    settle(rt)
    lengths = []
    for _ in range(3):
        with pytest.raises(ZeroDivisionError) as raised:
            failing.result()
        lengths.append(len(traceback.extract_tb(raised.value.__traceback__)))

    assert lengths[0] == lengths[1] == lengths[2]
    assert len(raised.value.__notes__) == len(set(raised.value.__notes__))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        StopIteration("x"),
        RecursionError("x"),
        ExceptionGroup("x", [ValueError("y")]),
        KeyError("x"),
        Exception(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_any_exception_is_raised_as_it_is(error):
    class Fails(ff.Consumer):
        def handle_events(self, events, source):
            raise error

    rt = ff.Runtime()
    failing = rt.start(Fails(), subscribe_to=[rt.start(Counter(10))])
    settle(rt)

    assert failing.join() is error
    with pytest.raises(type(error)):
        failing.result()


def test_an_exception_without_a_text_does_no_harm():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    class Fails(ff.Consumer):
        def handle_events(self, events, source):
            raise Mute

    rt = ff.Runtime()
    failing = rt.start(Fails(), subscribe_to=[rt.start(Counter(10))])
    other = rt.start(Total(), subscribe_to=[rt.start(Counter(10))])
    settle(rt)

    assert isinstance(failing.join(), Mute)
    assert other.result() == 45


def test_a_failed_stage_does_not_touch_others():
    rt = ff.Runtime()
    counter = rt.start(Counter(10_000))
    failing = rt.start(FailsAt(500), subscribe_to=[(rt.start(Counter(1000)), dict(max_demand=10))])
    total = rt.start(Total(), subscribe_to=[(counter, dict(max_demand=10))])
    settle(rt)

    assert isinstance(failing.join(), ZeroDivisionError)
    assert total.result() == sum(range(10_000))
