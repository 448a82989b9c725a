"""Children of supervisors that start, wait and end when a test says so."""

from __future__ import annotations

import queue
import threading

import fastflow as ff

WAIT = 20.0  # seconds: a deadline, never a pause


class Gates:
    """A function child that runs until it is let go, and tells what happened.

    started   events of the children that have begun, in that order
    most      how many have run at the same time
    """

    def __init__(self):
        self.started = queue.Queue()
        self.running = self.most = 0
        self.threads = []
        self._lock = threading.Lock()
        self._gates = {}
        self._errors = {}

    def gate(self, event):
        with self._lock:
            return self._gates.setdefault(event, threading.Event())

    def __call__(self, event):
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.threads.append(threading.current_thread())
        self.started.put(event)
        try:
            assert self.gate(event).wait(WAIT), f"nobody let {event} go"
            if self._errors.get(event):
                raise self._errors[event].pop()
        finally:
            with self._lock:
                self.running -= 1

    def next(self):
        """The next event whose child has begun."""
        return int(self.started.get(timeout=WAIT))

    def take(self, n):
        return [self.next() for _ in range(n)]

    def let(self, *events):
        for event in events:
            self.gate(event).set()

    def fail(self, event, *errors):
        """Let a child go, which then raises: the first time the first of these, and so on."""
        self._errors[event] = list(reversed(errors))
        self.let(event)


class Job(ff.Consumer):
    """A child that is a stage: tells its life, fails or ends when it is told to."""

    def __init__(self, log, event=None):
        self.log, self.event = log, event

    def setup(self):
        self.log.append(("setup", self.event))

    def handle_events(self, events, source):
        return None

    def handle_cast(self, request):
        if request == "end":
            self.finish()
        else:
            raise request

    def terminate(self, reason):
        self.log.append(("terminate", self.event, reason))


class Frail(ff.Consumer):
    """A child that is a stage, and can't be constructed while `plan` has errors for its event."""

    def __init__(self, plan, event=None):
        self.plan = plan
        self.event = event
        errors = plan.get(event)
        if errors:
            raise errors.pop(0)

    def handle_events(self, events, source):
        return None

    def handle_cast(self, request):
        if request == "end":
            self.finish()
        else:
            raise request


class Feed(ff.Producer):
    """Emits what is cast to it, and remembers what it was asked for."""

    dtype = "int64"

    def __init__(self, asked=None):
        self.asked = [] if asked is None else asked

    def handle_demand(self, demand):
        self.asked.append(demand)

    def handle_cast(self, request):
        if isinstance(request, str):
            self.finish()
            return None
        if isinstance(request, BaseException):
            raise request
        return request
