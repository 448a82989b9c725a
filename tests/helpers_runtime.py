"""Stages that the tests of the runtime start, join and stop."""

from __future__ import annotations

import fastflow as ff

WAIT = 20.0  # seconds: a deadline, never a pause


class Counter(ff.Producer):
    """Counts up to `stop`, or for ever."""

    dtype = "int64"
    state = ("next",)

    def __init__(self, stop=None, chunk=None):
        self.next, self.stop, self.chunk = 0, stop, chunk

    def handle_demand(self, demand):
        count = min(demand, self.chunk or demand)
        if self.stop is not None:
            count = min(count, self.stop - self.next)
        out = self.claim(count)
        ff.fill_range(out, self.next)
        self.next += count
        if self.next == self.stop:
            self.finish()
        return out

    def result(self):
        return self.emitted


class Same(ff.ProducerConsumer):
    """Passes every batch on."""

    dtype = "int64"

    def handle_events(self, events, source):
        return events


class Total(ff.Consumer):
    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += int(events.sum())

    def result(self):
        return self.total


class Hand(ff.Consumer):
    """Takes what is asked for by hand."""

    def handle_subscribe(self, role, options, subscription):
        return "manual"

    def handle_events(self, events, source):
        return None


class FailsAt(ff.Consumer):
    """Divides by zero when it sees `event`."""

    def __init__(self, event):
        self.event = event

    def handle_events(self, events, source):
        self.quotient = 1 // int(self.event not in events)


class Echo(ff.Consumer):
    """Answers calls in every way there is."""

    def __init__(self):
        self.waiting, self.log = [], []

    def handle_events(self, events, source):
        return None

    def handle_call(self, request, reply):
        self.log.append(request)
        if request == "later":
            self.waiting.append(reply)
            return ff.LATER
        if request == "never":
            return ff.LATER
        if request == "at once, by hand":
            reply("by hand")
            return ff.LATER
        if request == "fail":
            raise ZeroDivisionError("on purpose")
        if request == "stop":
            self.finish()
        return ("echo", request)

    def handle_cast(self, request):
        self.log.append(request)
        for reply in self.waiting:
            reply(request)
        self.waiting = []
