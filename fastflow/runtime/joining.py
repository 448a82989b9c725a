"""Joining: how a consumer and a producer come to share a subscription.

    check      options, schema, cycles, a place with the dispatcher: what is wrong is refused before anything is done
    connect    the two places are joined; nothing is asked yet
    agree      handle_subscribe of both sides, then the first ask

All of it happens on the scheduler's thread, between two turns; what is said within a turn of one of the two is agreed
on behind that turn.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from fastflow.errors import CallbackError, Closed, GraphError
from fastflow.runtime.admission import check_dispatcher, check_partition
from fastflow.runtime.options import SubscriptionOptions, subscription_options, whole_fits
from fastflow.runtime.ref import Subscription
from fastflow.schema import Schema

if TYPE_CHECKING:
    from fastflow.runtime.seat import Seat

__all__ = ["agree", "resubscribe", "subscribe", "subscribe_somehow"]

log = logging.getLogger("fastflow.runtime")


def subscribe(consumer: Seat, producer: Seat, given: dict[str, Any]) -> Subscription:
    """Join a consumer to a producer, by the options that were given."""
    if consumer.ending:
        raise Closed(f"subscription of {consumer.name!r} to {producer.name!r}: {consumer.name!r} has ended, expected "
                     "it to run; start it again")
    if consumer.recipe.emits and (producer is consumer or consumer.runtime.is_upstream(consumer, producer)):
        raise GraphError(f"subscription of {consumer.name!r} to {producer.name!r}: that makes a cycle, expected events "
                         "to flow one way; send what must go back as a cast")
    schema = producer.place.schema
    options = consumer.recipe.prepared(producer, schema, given) or check_options(consumer, producer, schema, given)
    check_dispatcher(consumer, producer, options)
    cast = consumer.check_schema(producer, schema, options.convert) if schema is not None else False
    subscription = Subscription(producer.place, consumer.place, options)
    producer.tell_dispatcher("subscribe", subscription, options.given)
    if subscription.closed or consumer.ending:
        producer.tell_dispatcher("cancel", subscription)
        raise Closed(f"subscription of {consumer.name!r} to {producer.name!r}: it was cancelled by the dispatcher that "
                     "heard of it; raise an error in its subscribe to refuse a consumer")
    # Joined before the callbacks are asked, so that they may ask for events themselves.
    subscription.connect(True)
    if schema is not None:
        subscription.set_schema(consumer.accepts if cast else schema, cast)
    if consumer.place.busy or producer.place.busy:
        # One of the two is in a turn of its own, which must end before another one can begin; by mail, since the
        # subscription stays even if that turn fails or is put off.
        consumer.runtime.scheduler.post(agree_later, consumer, producer, subscription)
    else:
        agree(consumer, producer, subscription)
    return subscription


def check_options(consumer: Seat, producer: Seat, schema: Schema | None, given: dict[str, Any]) -> SubscriptionOptions:
    """Refuse what can't be joined, or not by these options."""
    where = f"subscription of {consumer.name!r} to {producer.name!r}"
    if not consumer.recipe.takes:
        raise GraphError(f"{where}: got a producer as the subscriber, expected a consumer; make {consumer.name!r} an "
                         "ff.ProducerConsumer, or subscribe the other way round")
    if not producer.recipe.emits:
        raise GraphError(f"{where}: got a consumer as the producer, expected a stage that emits; make "
                         f"{producer.name!r} an ff.ProducerConsumer")
    consumer.recipe.check_callbacks(consumer.stage)
    guess = schema if schema is not None else consumer.accepts
    options = subscription_options(given, guess, where, producer.place.dispatcher)
    whole_fits(producer.place.whole, options, where)
    consumer.recipe.prepare(producer, schema, given, options)
    return options


def agree(consumer: Seat, producer: Seat, subscription: Subscription) -> None:
    """Ask both sides about a new subscription, and begin to ask for events."""
    given = subscription.options.given
    mode = "automatic"
    try:
        if consumer.recipe.hears_subscriptions:
            args: tuple[Any, ...] = ("producer", given, subscription)
            mode = consumer.place.take("handle_subscribe", consumer.stage.handle_subscribe, args, subscription, False)
            if mode not in ("automatic", "manual"):
                raise CallbackError(
                    f"handle_subscribe of {consumer.name!r}: got {mode!r}, expected 'automatic' or 'manual'"
                )
        if producer.recipe.hears_subscriptions and not producer.ended:
            args = ("consumer", given, subscription)
            producer.place.take("handle_subscribe", producer.stage.handle_subscribe, args, subscription, False)
    except BaseException:
        subscription.close(False)
        raise
    if producer.ended:
        subscription.put_end(producer.reason)
    elif mode == "automatic":
        subscription.set_manual(False)
        subscription.start_asking()


def agree_later(consumer: Seat, producer: Seat, subscription: Subscription) -> None:
    """Agree when nobody waits any more to hear how it went: what is wrong ends the subscriber."""
    try:
        if not subscription.closed:
            agree(consumer, producer, subscription)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        consumer.failed(error, "handle_subscribe", None, -1, 0)


def subscribe_somehow(consumer: Seat, to: Any, given: dict[str, Any]) -> None:
    """Subscribe for somebody who does not wait to hear how it went: that is logged, and ends the stage."""
    try:
        subscribe(consumer, consumer.runtime.find(to)._seat, given)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        log.error("stage %r: can't subscribe to %r: %s", consumer.name, to, error)
        if given.get("cancel") != "temporary":
            consumer.failed(error, "async_subscribe", None, -1, 0)


def resubscribe(consumer: Seat, old: Subscription, reason: Any, given: dict[str, Any]) -> Subscription:
    """A new subscription to the same producer, which replaces the old one in one step and ends nobody."""
    producer = old.producer_place.host
    options = {**old.options.given, **given}
    if consumer.ending:
        raise Closed(f"resubscribe to {producer.name!r}: {consumer.name!r} has ended, expected it to run")
    checked = check_options(consumer, producer, producer.place.schema, options)
    if not old.closed:
        if consumer.place.busy or producer.place.busy:
            raise CallbackError(
                f"resubscribe of {consumer.name!r} to {producer.name!r}: got a call in a callback of one of them, "
                "expected one between their turns, since the events of this turn would go back as well; cancel it, "
                "and resubscribe in handle_cancel, or say so from another thread")
        check_partition(consumer, producer, checked, old)
        old.close(True)
        producer.hear_cancel(reason, old)
        consumer.guarded("handle_cancel", consumer.stage.handle_cancel, (reason, old), old)
    return subscribe(consumer, producer, options)
