"""What the runtime keeps for every stage: faults planted in it are found, and the guarantees stand by themselves.

A stage can't break these rules, so the kit's checks of them are tried on a runtime that is broken on purpose.
"""

import threading

import numpy as np
import pytest
from helpers_runtime import WAIT, Counter, Total

import fastflow as ff
from fastflow._sender import Edge
from fastflow.runtime import Subscription, joining, ref
from fastflow.runtime.seat import Seat
from fastflow.testing import conformance, settle, trial
from fastflow.testing.rules import RULES

NUMBERS = [np.arange(5), np.arange(3), np.arange(7)]

ASK, CANCEL, AGREE = Subscription.ask, Seat.cancel_subscription, joining.agree


def asks_for_one_more(self, n):
    ASK(self, n + 1 if n else 0)


def asks_and_drives(self, n):
    ASK(self, n)
    scheduler = self.consumer._seat.runtime.scheduler
    if scheduler.current is None:
        scheduler.run()


def asks_from_here_only(self, n):
    if threading.current_thread() is threading.main_thread():
        ASK(self, n)


def asks_between_turns_only(self, n):
    current = self.consumer._seat.runtime.scheduler.current
    if current is None or not current.busy:
        ASK(self, n)


def asks_for_little(self, n):
    if n < 2**62:
        ASK(self, n)


def answers_the_closed(self, n):
    ASK(self, n)
    if self.closed:
        self.consumer._seat.stage.handle_cancel("closed", self)


def does_not_cancel(self, reason="cancel"):
    return None


def cancels_each_time(self, subscription, reason):
    was_closed = subscription.closed
    CANCEL(self, subscription, reason)
    if was_closed:
        subscription.producer._seat.hear_cancel(reason, subscription)


def hears_nothing(self, reason, subscription):
    return None


def gives_nothing_back(self, give_back):
    Edge.close(self, False)


def agrees_twice(consumer, producer, subscription):
    AGREE(consumer, producer, subscription)
    consumer.stage.handle_subscribe("producer", subscription.options, subscription)


def nested_calls(self, events, source):
    with self._call("events", source, trial.plain(events)), self._call("events", source, []):
        pass


def deeper_each_time(depth=[0]):  # noqa: B006  it remembers
    depth[0] += 1
    return depth[0]


def takes_anything(n, where):
    return n if isinstance(n, int) and n > 0 else 0


PLANTED = [
    ("1.1", Subscription, "ask", asks_for_one_more),
    ("1.3", trial.Hand, "handle_events", nested_calls),
    ("1.6", Subscription, "closed", property(lambda self: False)),
    ("1.7", Subscription, "ask", answers_the_closed),
    ("1.8", Subscription, "cancel", does_not_cancel),
    ("2.6", Seat, "hear_cancel", hears_nothing),
    ("2.7", Subscription, "ask", asks_from_here_only),
    ("2.8", Subscription, "close", gives_nothing_back),
    ("2.12", joining, "agree", agrees_twice),
    ("3.1", Subscription, "ask", asks_from_here_only),
    ("3.2", Subscription, "ask", asks_between_turns_only),
    ("3.3", trial, "_stack_depth", deeper_each_time),
    ("3.4", Subscription, "ask", asks_and_drives),
    ("3.5", Seat, "cancel_subscription", cancels_each_time),
    ("3.6", Subscription, "ask", answers_the_closed),
    ("3.7", Seat, "cancel_subscription", cancels_each_time),
    ("3.8", Subscription, "ask", asks_for_one_more),
    ("3.9", ref, "event_count", takes_anything),
    ("3.10", Subscription, "ask", asks_and_drives),
    ("3.11", Subscription, "ask", asks_and_drives),
    ("3.17", Subscription, "ask", asks_for_little),
]


@pytest.mark.parametrize(("rule", "where", "name", "fault"), PLANTED, ids=[rule for rule, *_ in PLANTED])
def test_a_fault_of_the_runtime_is_found_under_its_number(monkeypatch, rule, where, name, fault):
    monkeypatch.setattr(where, name, fault, raising=False)

    if rule.startswith("2"):
        report = conformance(Total, events=NUMBERS)
    else:
        report = conformance(lambda: Counter(50, chunk=5))

    assert report[rule].verdict == "broken", report


def test_each_rule_that_the_runtime_keeps_has_its_planted_fault():
    assert {rule.number for rule in RULES.values() if rule.by == "runtime"} <= {rule for rule, *_ in PLANTED}


# -- the guarantees by themselves, with threads --


class Flagged(Total):
    """Counts calls that came while another was under way."""

    def __init__(self):
        super().__init__()
        self.inside, self.nested = False, 0

    def handle_events(self, events, source):
        self.nested += self.inside
        self.inside = True
        super().handle_events(events, source)
        self.inside = False

    def result(self):
        return self.total, self.nested


def test_deliveries_of_four_producers_come_one_after_the_other():
    n = 20_000
    with ff.Runtime() as rt:
        counters = [rt.start(Counter(n, chunk=3)) for _ in range(4)]
        flagged = rt.start(Flagged(), subscribe_to=[(counter, dict(max_demand=8)) for counter in counters])

        assert flagged.result(WAIT) == (4 * n * (n - 1) // 2, 0)


class Hand(Total):
    def handle_subscribe(self, role, options, subscription):
        return "manual"


def test_asks_from_eight_threads_add_up_while_another_drives():
    with ff.Runtime() as rt:
        hand = rt.start(Hand())
        subscription = hand.subscribe(rt.start(Counter(None)), max_demand=100)
        threads = [threading.Thread(target=lambda: [subscription.ask(1) for _ in range(1000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)

    assert subscription.counters == (8000, 8000, 8000)


def test_a_consumer_that_asks_for_nothing_does_not_hold_up_its_siblings():
    rt = ff.Runtime()
    numbers = rt.start(ff.Range(1000))
    rt.start(Hand()).subscribe(numbers)
    total = rt.start(Total(), subscribe_to=[numbers])
    settle(rt)

    assert total.result() == 1000 * 999 // 2


def test_a_loop_that_is_left_cancels_upstream():
    reasons = []

    class Watched(Counter):
        def handle_cancel(self, reason, subscription):
            reasons.append(reason)

        def terminate(self, reason):
            reasons.append(reason)

    for _ in ff.stream(Watched(None, chunk=5), max_demand=10):
        break

    assert reasons[-1] == "shutdown"
