"""The protocol between two stages: GenStage 180 to 182.

There a subscription is a handful of messages between processes.  Here it is a ring and three
counters, so "not even a stage" can stand at either side: a test does.
"""

from __future__ import annotations

import threading

import numpy as np
from helpers_dispatch import Hand, Hub, Push, statistics
from helpers_ring import counters, ends, put, take

import fastflow as ff
from fastflow._core import Ring
from fastflow.testing import settle


def test_who_is_no_stage_can_stand_at_either_side():
    """GenStage 180. Ask and acknowledge upstream, events downstream: a ring has all of it."""
    ring = Ring(8, capacity=4)
    writer, reader = ends(ring)

    assert put(writer, [1, 2]) == 0                     # nobody has asked
    reader.ask(3)
    assert put(writer, [1, 2, 3, 4]) == 3
    assert take(reader, 9) == [1, 2, 3]
    assert counters(ring) == (3, 3, 0)
    reader.acknowledge(3)
    reader.ask(9)

    assert counters(ring) == (7, 3, 3)                  # never more than the capacity ahead
    assert put(writer, [4, 5, 6, 7, 8]) == 4


def test_a_subscription_says_who_stands_at_both_sides_and_which_one_it_is():
    """GenStage 180. Messages carry a tag there; here the subscription is the tag."""

    class Asks(Hand):
        def handle_events(self, events, source):
            self.batches.append((source.tag, source.producer.name, source.consumer.name))

    rt, log = ff.Runtime(), []
    left, right = rt.start(Push(), name="left"), rt.start(Push(), name="right")
    consumer = rt.start(Asks(log), name="both")
    for producer, tag in ((left, "l"), (right, "r"), (left, "l again")):
        consumer.subscribe(producer, tag=tag).ask(2)
    settle(rt)

    right.cast([1])
    settle(rt)
    left.cast([1, 2, 3])
    settle(rt)

    assert log == [("r", "right", "both"), ("l", "left", "both"), ("l again", "left", "both")]


def test_each_side_hears_of_the_end_of_the_other():
    """GenStage 181. By monitors there; here a place tells its subscriptions, so none is missed."""
    hub = Hub()
    stays, goes = hub.join(), hub.join()

    goes.ref.stop()
    settle(hub.rt)
    assert [tag for _, tag in hub.stage.cancelled] == [1]

    hub.ref.stop()
    settle(hub.rt)
    assert [tag for _, tag in ff.testing.stage_of(stays.ref).cancelled] == [0]
    assert stays.ref.alive


def test_nothing_comes_after_a_cancel():
    """GenStage 181. Neither events, nor a second word of the end."""
    hub = Hub()
    reader = hub.join(ask=5)
    hub.push(1, 2)

    hub.leave(reader)
    hub.push(3, 4)
    hub.ref.stop()
    settle(hub.rt)

    assert reader.seen == [1, 2]
    assert ff.testing.stage_of(reader.ref).cancelled == [("cancel", 0)]
    assert reader.edge.closed


def test_an_ask_never_overtakes_its_subscription():
    """GenStage 182. From any thread: subscribe, then ask, and the events come."""
    with ff.Runtime() as rt:
        producer = rt.start(Push())
        seen = [[] for _ in range(20)]
        edges = []

        def work(mine):
            consumer = rt.start(Hand(mine))
            edge = consumer.subscribe(producer, max_demand=10)
            edge.ask(1)
            edge.ask(2)
            edges.append(edge)

        threads = [threading.Thread(target=work, args=(mine,)) for mine in seen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20.0)
        producer.cast(range(60))

    assert [len(sum(mine, [])) for mine in seen] == [3] * 20
    assert sorted(event for mine in seen for event in sum(mine, [])) == list(range(60))
    assert [statistics(edge)["asked"] for edge in edges] == [3] * 20


def test_what_one_sends_another_arrives_in_order():
    """GenStage 182. Casts from one thread are handled in the order in which they were made."""
    with ff.Runtime() as rt:
        producer = rt.start(Push())
        batches = []
        rt.start(Hand(batches)).subscribe(producer).ask(1000)
        for i in range(100):
            producer.cast([i])

    assert sum(batches, []) == np.arange(100).tolist()
