"""What every refusal must say, and a look at what it left: counters, and events that came."""

import numpy as np

import fastflow as ff
from fastflow import errors

LARGEST = 2**63 - 1


class Sink(ff.Consumer):
    """Keeps a copy of what comes in a list of the test's, which outlives a failure."""

    def __init__(self, into):
        self.into = into

    def handle_events(self, events, source):
        self.into.append(np.array(events))


def numbers(subscription):
    """(asked, sent, acked) of a subscription."""
    got = subscription.statistics()
    names = ("asked", "sent", "acked")
    return tuple(got[name] if isinstance(got, dict) else getattr(got, name) for name in names)


def everything_said(error):
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def assert_clear(error, *words):
    """The error is one of ours, says got, expected and what to do, and each of `words`."""
    text = everything_said(error)
    assert isinstance(error, errors.FastflowError), repr(error)
    assert "got" in text, text
    assert "expected" in text, text
    advice = text.split("expected", 1)[1]
    assert any(mark in advice for mark in (";", ".", ",")), f"no advice in: {text}"
    for word in words:
        assert word in text, f"{word!r} is missing in: {text}"


def resize(stage, events):
    events.resize(3)
