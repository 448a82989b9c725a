"""Admission: whether a producer's dispatcher has a place for a consumer.

    demand       always; one that asks for more than the others is warned of
    broadcast    once for each consumer
    partition    when nobody takes that partition
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastflow.dispatch import BroadcastDispatcher, DemandDispatcher, PartitionDispatcher
from fastflow.errors import GraphError

if TYPE_CHECKING:
    from fastflow.runtime.options import SubscriptionOptions
    from fastflow.runtime.ref import Subscription
    from fastflow.runtime.seat import Seat

__all__ = ["check_dispatcher", "check_partition"]

log = logging.getLogger("fastflow.runtime")


def check_dispatcher(consumer: Seat, producer: Seat, options: SubscriptionOptions) -> None:
    """Refuse a subscriber that the producer's dispatcher has no place for; warn of one that will be served worse."""
    dispatcher = producer.place.dispatcher
    if dispatcher is None or isinstance(dispatcher, DemandDispatcher):
        _compare_demand(producer, options.max_demand)
    elif isinstance(dispatcher, BroadcastDispatcher):
        if not consumer.place.open_inputs:
            return
        # Where there are a million on one side, there are few on the other.
        edges = min(consumer.place.input_edges, producer.place.output_edges, key=len)
        if any(edge.producer_place is producer.place and edge.consumer_place is consumer.place for edge in edges):
            raise GraphError(f"subscription of {consumer.name!r} to {producer.name!r}: got a second one, expected one "
                             "for each consumer of a broadcast, which would get every event twice; the first one stays")
    else:
        check_partition(consumer, producer, options)


def check_partition(
    consumer: Seat, producer: Seat, options: SubscriptionOptions, old: Subscription | None = None
) -> None:
    """Refuse a partition that somebody takes already, other than by the `old` subscription, which is to be replaced."""
    if not isinstance(producer.place.dispatcher, PartitionDispatcher):
        return
    taken = producer.place.partition_taken(options.partition)
    if taken is not None and taken is not old:
        raise GraphError(f"subscription of {consumer.name!r} to {producer.name!r}: got partition "
                         f"{options.given['partition']!r}, expected one that is free; {taken.consumer.name!r} takes it")


def _compare_demand(producer: Seat, most: int) -> None:
    """Consumers of different demand get different shares: say so once."""
    others = producer.place.output_edges
    if others and most != others[0].capacity and producer.warn_once("demand"):
        log.warning(
            "producer %r: got a max_demand of %d beside one of %d; different maximum demands will overload greedy "
            "consumers, since who asks for most is served first; give all of them the same",
            producer.name, most, others[0].capacity,
        )
