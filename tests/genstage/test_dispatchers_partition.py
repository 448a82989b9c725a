"""The partition dispatcher: GenStage 138 to 151."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from helpers_dispatch import Count, Hand, Hub, Push, failure, statistics, text_of

import fastflow as ff
from fastflow.testing import settle


def parity(events):
    return events % 2


def by_parity(producer=None, partitions=2, hash=parity, queue_size=None, **options):  # noqa: A002
    """A hub with two partitions: even numbers to 0, odd ones to 1."""
    dispatcher = ff.PartitionDispatcher(partitions, hash=hash, queue_size=queue_size)
    return Hub(dispatcher, producer, **options)


def test_a_count_of_partitions_makes_numbers_from_zero():
    """GenStage 138."""
    hub = by_parity(partitions=3, hash=lambda events: events % 3)
    readers = [hub.join(partition=i, ask=10) for i in range(3)]

    hub.push(*range(9))

    assert [reader.seen for reader in readers] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


@pytest.mark.parametrize(
    "names",
    [["even", "odd"], ("even", "odd"), [4, "odd"], [("a", 1), ("b", 2)], [-1.5, 2]],
    ids=str,
)
def test_partitions_may_have_names(names):
    """GenStage 138. Anything that can be a key."""

    def named(events):
        return [names[event % 2] for event in events.tolist()]

    hub = by_parity(partitions=names, hash=named)
    odd, even = hub.join(partition=names[1], ask=10), hub.join(partition=names[0], ask=10)

    hub.push(*range(6))

    assert even.seen == [0, 2, 4]
    assert odd.seen == [1, 3, 5]


def test_partitions_are_required():
    """GenStage 138."""
    with pytest.raises(TypeError, match="partitions"):
        ff.PartitionDispatcher()


def test_names_without_a_hash_are_hashed_by_their_order():
    """GenStage 139. Better: there names need a hash function; here the index is into the names."""
    numbers, names = Hub(ff.PartitionDispatcher(3)), Hub(ff.PartitionDispatcher(["a", "b", "c"]))
    left = [numbers.join(partition=i, ask=100) for i in range(3)]
    right = [names.join(partition=name, ask=100) for name in "abc"]

    for hub in (numbers, names):
        hub.push(*range(100))

    assert [reader.seen for reader in left] == [reader.seen for reader in right]
    assert all(reader.seen for reader in left)


def test_the_default_hash_spreads_and_sends_equal_events_to_one_partition():
    """GenStage 140."""
    hub = Hub(ff.PartitionDispatcher(4))
    readers = [hub.join(capacity=20_000, partition=i, ask=20_000) for i in range(4)]

    hub.push(*range(4000))
    hub.push(*range(4000))

    for reader in readers:
        half = len(reader.seen) // 2
        assert reader.seen[:half] == reader.seen[half:]
        assert half > 500
    assert sorted(sum((reader.seen for reader in readers), [])) == sorted(2 * list(range(4000)))


PLACES = """
import fastflow as ff
from fastflow.testing import Recorder, settle, Script
import numpy as np

rt = ff.Runtime()
source = rt.start(Script([np.array({events!r}, {dtype!r})] if {dtype!r} != "O" else [{events!r}],
                         dtype={dtype!r}), dispatcher=ff.PartitionDispatcher(5))
readers = [rt.start(Recorder(), subscribe_to=[(source, dict(partition=i))]) for i in range(5)]
settle(rt)
print([[x for batch in reader.result() for x in (batch if isinstance(batch, list) else batch.tolist())]
       for reader in readers])
"""


@pytest.mark.parametrize(
    ("events", "dtype"),
    [(list(range(50)), "i8"), ([x / 4 for x in range(50)], "f8"), ([str(x) for x in range(50)], "O")],
    ids=["int64", "float64", "text"],
)
def test_the_default_hash_is_the_same_in_every_process(events, dtype):
    """GenStage 140. Unlike Python's own for text, which differs from run to run."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PLACES.format(events=events, dtype=dtype)],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=50,
        ).stdout
        for seed in ("1", "2")
    ]

    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 100


def test_a_column_name_hashes_that_column():
    """GenStage 140. Better: without a function."""
    dtype = [("user", "i8"), ("amount", "f8")]

    class Trades(Push):
        def handle_cast(self, request):
            return ff.Batch(
                user=np.array(request, "i8"), amount=np.arange(len(request), dtype="f8")
            )

    class Users(Hand):
        def handle_events(self, events, source):
            self.batches.append(events["user"].tolist())

    rt = ff.Runtime()
    hub = rt.start(Trades(dtype), dispatcher=ff.PartitionDispatcher(3, hash="user"))
    seen = [[] for _ in range(3)]
    for i, batches in enumerate(seen):
        rt.start(Users(batches)).subscribe(hub, partition=i).ask(1000)
    users = [7 * i % 31 for i in range(300)]

    hub.cast(users)
    settle(rt)

    places = [set(sum(batches, [])) for batches in seen]
    assert sum(len(place) for place in places) == 31    # no user is in two places
    assert all(places)
    for batches, place in zip(seen, places, strict=True):
        assert sum(batches, []) == [user for user in users if user in place]


def test_a_hash_may_replace_the_events():
    """GenStage 140. It returns a pair: the other events, and where they go."""
    hub = by_parity(hash=lambda events: (events * 10, events % 2))
    even, odd = hub.join(partition=0, ask=10), hub.join(partition=1, ask=10)

    hub.push(1, 2, 3, 4)

    assert even.seen == [20, 40]
    assert odd.seen == [10, 30]


def test_a_hash_is_called_once_with_a_whole_batch():
    """GenStage 140. Better: a function of the batch, so NumPy does the work."""
    called = []

    def hash_of(events):
        called.append(events.tolist())
        return events % 2

    hub = by_parity(hash=hash_of)
    hub.join(partition=0, ask=10)
    hub.join(partition=1, ask=10)
    hub.push(1, 2, 3)
    hub.push(4, 5)

    assert called == [[1, 2, 3], [4, 5]]


def test_object_events_are_hashed_too():
    """GenStage 140. A list in, an array of partitions out."""
    hub = by_parity(Push(object), hash=lambda words: np.array([len(word) % 2 for word in words]))
    even, odd = hub.join(partition=0, ask=10), hub.join(partition=1, ask=10)

    hub.push("to", "be", "or", "not")

    assert even.seen == ["to", "be", "or"]
    assert odd.seen == ["not"]


def no_threes(events):
    return np.where(events % 3 == 0, -1, events % 2)


def test_a_discarded_event_consumes_no_demand():
    """GenStage 141. Asks of 4 and 4, 1 to 12 with every third discarded."""
    hub = by_parity(hash=no_threes)
    even, odd = hub.join(partition=0, ask=4), hub.join(partition=1, ask=4)

    hub.push(*range(1, 13))

    assert even.seen == [2, 4, 8, 10]
    assert odd.seen == [1, 5, 7, 11]
    hub.ask((even, 1))
    assert even.counters == (5, 4, 4)
    assert statistics(hub.ref)["discarded"] == 4
    assert hub.waiting == 0
    assert hub.demands[-1] == 1


def test_none_among_names_discards():
    """GenStage 141."""
    hub = by_parity(
        partitions=["even"],
        hash=lambda events: [None if event % 2 else "even" for event in events.tolist()],
    )
    even = hub.join(partition="even", ask=4)

    hub.push(1, 2, 3, 4)

    assert even.seen == [2, 4]
    assert statistics(hub.ref)["discarded"] == 2


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (lambda events: np.where(events == 5, 2, 0), "2"),
        (lambda events: np.where(events == 5, -2, 0), "-2"),
        (lambda events: (events == 5) * 0.5, "float"),
        (lambda events: "even", "str"),
        (lambda events: 0, "int"),
    ],
    ids=["too great", "negative", "a float", "a text", "one for all"],
)
def test_an_unknown_partition_is_the_producers_error_and_nothing_of_before_is_lost(bad, word):
    """GenStage 142. Better: with the position of the event, and its turn is taken back."""
    hub = by_parity(hash=lambda events: bad(events) if 5 in events else events % 2)
    even, odd = hub.join(partition=0, ask=10), hub.join(partition=1, ask=1)
    hub.push(1, 2, 3)

    hub.push(4, 5)

    error = failure(hub.ref)
    assert isinstance(error, ff.CallbackError)
    assert "hash" in text_of(error)
    assert word in text_of(error)
    assert "'hub'" in text_of(error)
    assert even.seen == [2]
    assert odd.seen == [1]
    assert statistics(hub.ref)["emitted"] == 3


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, ff.OptionError, ["partition", "0", "1"]),
        ({"partition": 2}, (ff.OptionError, ff.GraphError), ["partition", "2"]),
        ({"partition": "even"}, (ff.OptionError, ff.GraphError), ["partition", "'even'"]),
        ({"partition": 0}, (ff.OptionError, ff.GraphError), ["partition", "0"]),
    ],
    ids=["missing", "unknown", "of another kind", "taken"],
)
def test_a_bad_subscriber_is_refused_and_nobody_else_is_harmed(options, error, words):
    """GenStage 143. Better: there it kills the producer, and its other consumers with it."""
    hub = by_parity()
    even = hub.join(partition=0, ask=10)
    bad = hub.rt.start(Hand(), name="bad")

    with pytest.raises(error) as caught:
        bad.subscribe(hub.ref, **options)

    for word in words:
        assert word in str(caught.value)
    hub.push(1, 2)
    assert hub.ref.alive
    assert bad.alive
    assert even.seen == [2]
    assert hub.join(partition=1, ask=10).seen == [1]


def test_a_partition_has_one_consumer_and_another_may_follow():
    """GenStage 144."""
    hub = by_parity()
    first = hub.join(partition=0, ask=10)
    with pytest.raises(ff.GraphError):
        hub.join(partition=0)

    hub.leave(first)
    second = hub.join(partition=0, ask=10)
    hub.push(2)

    assert (first.seen, second.seen) == ([], [2])


def test_one_consumer_may_take_several_partitions():
    """GenStage 144. By a subscription each."""
    hub = by_parity()
    batches = []
    consumer = hub.rt.start(Hand(batches))
    for partition in (0, 1):
        consumer.subscribe(hub.ref, partition=partition).ask(10)
    settle(hub.rt)

    hub.push(1, 2, 3)

    assert sorted(sum(batches, [])) == [1, 2, 3]


def test_demand_is_pooled_and_what_a_partition_cannot_take_waits_there():
    """GenStage 145. The sum of all asks goes upstream."""
    hub = by_parity()
    even, odd = hub.join(partition=0, ask=3), hub.join(partition=1, ask=2)
    assert hub.demands[-1] == 5

    hub.push(0, 2, 4, 6, 8)

    assert even.seen == [0, 2, 4]
    assert odd.seen == []
    assert hub.waiting == 2
    assert statistics(even.edge)["buffered"] == 2
    assert statistics(odd.edge)["buffered"] == 0


def test_a_partition_without_events_keeps_its_demand():
    """GenStage 145. Better: its demand is still pending, and the producer is asked for it again."""
    hub = by_parity()
    even, odd = hub.join(partition=0, ask=3), hub.join(partition=1, ask=2)

    hub.push(0, 2, 4, 6, 8)
    assert hub.demands[-1] == 2
    hub.push(1, 10, 3)

    assert odd.seen == [1, 3]
    assert even.seen == [0, 2, 4]
    assert hub.waiting == 3


def test_more_than_the_pool_has_asked_waits_and_passes_by_nobody():
    """GenStage 145. Events that no partition has demand for do not stand in the way of others."""
    hub = by_parity()
    even, odd = hub.join(partition=0, ask=1), hub.join(partition=1, ask=2)

    hub.push(*range(0, 40, 2), 1, 3, 5)

    assert even.seen == [0]
    assert odd.seen == [1, 3]
    assert hub.waiting == 20


def test_queued_events_are_delivered_on_the_next_ask_of_their_partition():
    """GenStage 146. In order, and with the order of infos."""
    hub = by_parity()
    even, odd = hub.join(partition=0, ask=1), hub.join(partition=1, ask=9)
    hub.push(0, 2, 4, 1)
    hub.inform("behind 4")
    hub.push(6)
    assert (even.seen, odd.seen) == ([0], [1])

    hub.ask((odd, 5))
    assert (even.seen, hub.stage.infos) == ([0], [])
    hub.ask((even, 2))
    assert (even.seen, hub.stage.infos) == ([0, 2, 4], ["behind 4"])
    hub.ask((even, 1))
    assert even.seen == [0, 2, 4, 6]


@pytest.mark.parametrize("how", ["cancel", "stop", "crash"])
def test_queued_and_unhandled_events_stay_for_the_next_of_that_partition(how):
    """GenStage 147. Better: there they are dropped silently, and asked for again."""
    hub = by_parity()
    even = hub.join(partition=0, ask=2)
    hub.join(partition=1, ask=2)
    hub.freeze(even)
    hub.push(0, 2, 4, 6, 1)
    assert even.counters == (2, 2, 0)
    assert hub.waiting == 2

    if how == "cancel":
        hub.leave(even)
    elif how == "stop":
        even.ref.stop()
        settle(hub.rt)
    else:
        hub.crash(even)
        hub.clock.advance(1.0)
        settle(hub.rt)
        assert not even.ref.alive

    assert hub.waiting == 4
    assert statistics(hub.ref)["discarded"] == 0
    assert statistics(hub.ref)["asked"] == 1            # one of the other's two is left, and no more
    assert hub.demands[-1] == 1
    following = hub.join(partition=0, ask=9)
    assert following.seen == [0, 2, 4, 6]
    hub.push(8)
    assert following.seen == [0, 2, 4, 6, 8]


def test_demand_of_who_left_is_gone_and_swallows_no_later_ask():
    """GenStage 148. Better: nothing is set off against the asks of others."""
    hub = by_parity()
    even, odd = hub.join(partition=0, ask=10), hub.join(partition=1, ask=3)
    hub.leave(even)
    assert statistics(hub.ref)["asked"] == 3

    hub.ask((odd, 4))

    assert hub.demands[-1] == 7
    hub.push(*range(1, 15, 2))
    assert odd.seen == list(range(1, 15, 2))
    assert statistics(hub.ref)["asked"] == 0


def test_an_info_waits_until_every_queue_of_that_time_has_drained_past_it():
    """GenStage 149."""
    hub = by_parity()
    even, odd = hub.join(partition=0), hub.join(partition=1)
    hub.push(0, 1, 2, 3)
    hub.inform("one")
    hub.push(4, 5)

    hub.ask((even, 3))
    assert hub.stage.infos == []
    hub.ask((odd, 1))
    assert hub.stage.infos == []
    hub.ask((odd, 1))
    assert hub.stage.infos == ["one"]
    assert (even.seen, odd.seen) == ([0, 2, 4], [1, 3])


def test_an_info_is_handled_at_once_when_no_queue_has_anything():
    """GenStage 149."""
    hub = by_parity()
    hub.join(partition=0, ask=9)
    hub.push(0, 2)

    hub.inform("one")

    assert hub.stage.infos == ["one"]


class AllEven(Count):
    """Even numbers only, one a turn."""

    def handle_demand(self, demand):
        self.demands.append(demand)
        self.next += 2
        return np.array([self.next - 2])


def test_a_full_queue_stops_the_pool_asking_until_it_drains():
    """GenStage 150. Better: bounded, and the queue counts; there it grows without end."""
    hub = by_parity(AllEven(), queue_size=5)
    odd = hub.join(partition=1)
    hub.ask((odd, 100))

    assert hub.waiting == 5
    assert len(hub.demands) == 5
    assert statistics(hub.ref)["asked"] == 0
    assert hub.rt.subscriptions()

    even = hub.join(partition=0)
    hub.ask((even, 2))
    assert even.seen == [0, 2]
    assert hub.waiting == 5                             # two have gone, two are new
    assert odd.counters[0] == 100


def test_a_queue_has_room_for_a_thousand_at_least():
    """GenStage 150. The default: the largest max_demand among the consumers, at least 1,000."""
    hub = by_parity(AllEven())
    odd = hub.join(capacity=10, partition=1)

    hub.ask((odd, 1))

    assert hub.waiting == 1000


def test_a_queue_has_room_for_the_largest_max_demand():
    """GenStage 150."""
    hub = by_parity(AllEven())
    odd = hub.join(capacity=1500, partition=1)

    hub.ask((odd, 1))

    assert hub.waiting == 1500


def test_the_stall_report_names_the_partition_whose_queue_is_full():
    """GenStage 150. Better: nobody has to guess why nothing moves."""

    class Skewed(AllEven):
        dispatcher = ff.PartitionDispatcher(["left", "right"], lambda events: ["left"] * len(events))

    with pytest.raises(ff.Stalled, match="left") as caught:
        for batch in ff.stream([(Skewed(), {"partition": "right"})]):
            raise AssertionError(f"got {batch}, expected nothing of that partition")

    assert "32,768" in str(caught.value)        # the max_demand of its only consumer


def test_an_uneven_stream_keeps_its_queues_bounded_and_loses_nothing():
    """GenStage 150. Three of five events to one partition, whose consumer asks by ones."""
    n = 3000
    hub = by_parity(
        Count(n, chunk=10),
        partitions=3,
        hash=lambda events: np.maximum(events % 5 - 2, 0),
        queue_size=50,
    )
    readers = [hub.automatic(1, 0, partition=0, cancel="auto")]
    readers += [hub.automatic(100, 50, partition=i, cancel="auto") for i in (1, 2)]
    settle(hub.rt)

    seen = [reader.seen for reader in readers]
    assert sorted(sum(seen, [])) == list(range(n))
    assert all(events == sorted(events) for events in seen)
    assert [len(events) for events in seen] == [n * 3 // 5, n // 5, n // 5]


def test_partitions_may_have_the_names_of_anything():
    """GenStage 151. Better: no dictionary is shared with the user's code, so no name can clash."""
    names = ["state", "dispatcher", "partition", "__class__", ("$ancestors",), frozenset()]
    hub = by_parity(
        partitions=names, hash=lambda events: [names[event] for event in events.tolist()]
    )
    readers = [hub.join(partition=name, ask=10) for name in reversed(names)]

    hub.push(*range(6))

    assert [reader.seen for reader in readers] == [[5], [4], [3], [2], [1], [0]]
