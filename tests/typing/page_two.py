"""Stages, refs and subscriptions, written under `mypy --strict`: all of this must pass."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import fastflow as ff
from fastflow import testing

Numbers = npt.NDArray[np.int64]


class Counter(ff.Producer):
    """Counts from `start` up to `stop`."""

    dtype = "int64"
    state = ("next",)

    def __init__(self, start: int = 0, stop: int | None = None) -> None:
        self.next, self.end = start, stop

    def handle_demand(self, demand: int) -> Numbers | None:
        out = self.claim(demand if self.end is None else min(demand, self.end - self.next))
        ff.fill_range(out, self.next)
        self.next += len(out)
        if self.next == self.end:
            self.finish()
        return out


class Double(ff.ProducerConsumer):
    """Doubles, and says so to itself."""

    dtype = np.dtype("int64")

    def setup(self) -> None:
        self.timer = self.after(1.0, "tick")

    def handle_events(self, events: Numbers, source: ff.Subscription) -> Numbers:
        if self.pending_demand < len(events):
            self.emit(events)
        return events * 2

    def handle_end(self) -> Numbers | None:
        return None

    def handle_info(self, message: object) -> None:
        self.timer.cancel()


class Total(ff.Consumer):
    """Adds up."""

    state = ("total",)

    def __init__(self) -> None:
        self.total = 0

    def handle_events(self, events: Numbers, source: ff.Subscription) -> None:
        self.total += int(events.sum())
        if self.total < 0:
            raise ff.Retry(after=0.5)

    def handle_subscribe(
        self, role: str, options: dict[str, Any], subscription: ff.Subscription
    ) -> str:
        return "manual"

    def handle_cancel(self, reason: object, subscription: ff.Subscription) -> None:
        print(subscription.tag)

    def handle_call(self, request: object, reply: Any) -> Any:
        return ff.LATER

    def handle_cast(self, request: object) -> None:
        self.total = 0

    def format_discarded(self, count: int) -> bool:
        return count > 0

    def terminate(self, reason: object) -> None:
        print(self.handled)

    def result(self) -> int:
        return self.total


@dataclass
class Scale(ff.ProducerConsumer):
    """A stage that is a dataclass."""

    by: float = 1.0

    def handle_events(self, events: npt.NDArray[np.float64], source: ff.Subscription) -> object:
        return events * self.by


with ff.Runtime() as rt:
    counter: ff.Ref = rt.start(Counter(0, 10_000_000), name="counter")
    double = rt.start(Double(), subscribe_to=[counter])
    total = rt.start(
        Total(), subscribe_to=[(double, {"max_demand": 65_536, "min_demand": 32_768})]
    )
    answer: int = total.result()
    late = total.result(timeout=5.0)
    edge: ff.Subscription = total.subscribe(counter, tag="again", max_demand=10, cancel="temporary")
    edge.ask(5)
    edge.cancel("enough")
    reply = total.call("how many", timeout=1.0)
    total.cast("forget")
    total.info("hello")
    alive: bool = total.alive
    name: str | None = total.name
    reason = total.join(timeout=1.0)
    by_name: ff.Ref = rt["counter"]
    many: list[ff.Ref] = list(rt.start_many(Total(), 3))

seeded = ff.Runtime(seed=7, clock=testing.ManualClock(start=5.0))
turns: int = testing.settle(seeded)
moved: bool = testing.step(seeded)
report: testing.Report = testing.conformance(lambda: ff.Range(3), expected=3)
broken: list[testing.Entry] = report.broken
results: dict[str, Any] = dict(seeded.run(timeout=1.0))

try:
    seeded.start(Counter())
except ff.Closed as error:
    failure: ff.FastflowError = error

scale = Scale(by=2.0)
bare = Counter(start=3)
demanded = bare.handle_demand(10)
