"""The stages of the README and a few more, and how one finds out why a stage ended."""

from __future__ import annotations

import fastflow as ff
from fastflow.errors import FastflowError
from fastflow.testing import Recorder, settle


class Counter(ff.Producer):
    """The one of the README."""

    dtype = "int64"
    state = ("next",)

    def __init__(self, start=0, stop=None):
        self.next, self.end = start, stop

    def handle_demand(self, demand):
        out = self.claim(demand if self.end is None else min(demand, self.end - self.next))
        ff.fill_range(out, self.next)
        self.next += len(out)
        if self.next == self.end:
            self.finish()
        return out


class Total(ff.Consumer):
    """The one of the README."""

    state = ("total",)

    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += int(events.sum())

    def result(self):
        return self.total


class Push(ff.Producer):
    """Answers no demand; what is cast to it, it emits."""

    dtype = "int64"

    def handle_demand(self, demand):
        return None

    def handle_cast(self, request):
        return request


class Log(ff.Consumer):
    """Writes down which callback ran; sources may end without ending it."""

    def __init__(self, log):
        self.log = log

    def setup(self):
        self.log.append("setup")

    def handle_subscribe(self, role, options, subscription):
        self.log.append(("subscribe", role, subscription.tag))
        return "automatic"

    def handle_events(self, events, source):
        self.log.append(("events", list(events)))

    def handle_cancel(self, reason, subscription):
        self.log.append(("cancel", reason, subscription.tag))

    def handle_end(self):
        self.log.append("end")

    def terminate(self, reason):
        self.log.append(("terminate", reason))

    def handle_cast(self, request):
        self.log.append(("cast", request))

    def handle_info(self, message):
        self.log.append(("info", message))


def flat(recorder):
    """The events of a Recorder that ended, in one list."""
    return [int(x) for batch in recorder.result() for x in batch]


def failure(rt, stage, **options):
    """What goes wrong with `stage`: when it is started, or when its turns are taken."""
    try:
        ref = rt.start(stage, **options)
        settle(rt)
    except (FastflowError, OSError, TypeError, ValueError, AttributeError) as error:
        return error
    reason = ref.join()
    assert isinstance(reason, BaseException), f"it ended with {reason!r}"
    return reason


def failure_of_demand(body, dtype="int64", demand=10):
    """What ends a producer whose `handle_demand` is ``body(stage, demand)``."""

    class Bad(ff.Producer):
        def __init__(self):
            self.dtype = dtype

        def handle_demand(self, demand):
            return body(self, demand)

    rt = ff.Runtime()
    producer = rt.start(Bad(), name="bad")
    rt.start(Recorder(), subscribe_to=[(producer, dict(max_demand=demand, cancel="temporary"))])
    settle(rt)
    return producer.join()
