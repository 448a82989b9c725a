"""Options of a subscription: their defaults and their checks, as plain functions.

    max_demand   how many events may be on their way at the most; 256 KiB of them by default
    min_demand   when so few are left open, more is asked for; half of max_demand by default
    cancel       what the end of the producer means for the consumer
    convert      cast events to what the consumer accepts, where that loses nothing
    writable     the consumer gets a copy of each batch, which it may write to
    selector     of a broadcast: which events the consumer wants
    lag          of a broadcast: what happens when the consumer has no room
    partition    of a partition dispatcher: which one the consumer takes

What a dispatcher of the user's knows besides is passed on to it as it is.  Nothing here starts anything: give it
numbers, it returns numbers or says what is wrong with them.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

from fastflow.dispatch import LAGS, BroadcastDispatcher, Dispatcher, PartitionDispatcher
from fastflow.errors import DemandError, OptionError, nearest
from fastflow.schema import Schema
from fastflow.stage import EDGE_OPTIONS, STAGE_OPTIONS

__all__ = ["CANCEL_MODES", "SubscriptionOptions", "default_max_demand", "event_count", "subscription_options",
           "wait_seconds"]

#: Bytes of events on their way by default: half of an L2 cache, the same on every machine.
DEFAULT_BYTES = 256 * 1024
#: Python objects on their way by default.
DEFAULT_OBJECTS = 1000
#: Bytes that an event is taken to have while nobody knows.
UNKNOWN_BYTES = 8

#: auto: a normal end closes the subscription, and the last one to close ends the consumer; an abnormal end ends it.
#: permanent: the consumer ends with the producer.  transient: only with one that failed.  temporary: never.
CANCEL_MODES = ("auto", "permanent", "transient", "temporary")


class SubscriptionOptions(NamedTuple):
    """Checked options of one subscription; demand in events."""

    max_demand: int
    min_demand: int
    cancel: str
    convert: bool
    writable: bool
    tag: Any
    given: dict[str, Any]
    partition: int
    lag: int
    selector: Any


def default_max_demand(schema: Schema | None) -> int:
    """Events on their way when nobody says: 256 KiB of them.

    Examples
    --------
    >>> default_max_demand(Schema.of("int64"))
    32768
    >>> default_max_demand(Schema.of(object))
    1000
    """
    if schema is None:
        return DEFAULT_BYTES // UNKNOWN_BYTES
    if schema.kind == "object":
        return DEFAULT_OBJECTS
    return max(2, DEFAULT_BYTES // schema.itemsize)


def event_count(value: Any, what: str, least: int = 0) -> int:
    """Check a number of events: an integer, no bool, not too small."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise OptionError(f"{what}: got {value!r}, expected a whole number of events; give an int")
    n: int = value.__index__()
    if n < least:
        expected = "0 or more; give a number of events" if not least else f"at least {least}; ask for some events"
        raise DemandError(f"{what}: got {n}, expected {expected}")
    return n


def wait_seconds(timeout: Any, what: str) -> float | None:
    """Check how long to wait: seconds, or None for ever."""
    if timeout is None:
        return None
    number = isinstance(timeout, Real) and not isinstance(timeout, bool)
    if not (number and float(timeout) >= 0):
        raise ValueError(f"timeout of {what}: got {timeout!r}, expected seconds from 0 up, or None to wait for ever")
    seconds: float = timeout
    return seconds


def subscription_options(
    given: dict[str, Any], schema: Schema | None, where: str, dispatcher: Dispatcher | None = None
) -> SubscriptionOptions:
    """Check what was given, and fill in the rest.

    Parameters
    ----------
    given : dict
        Options by name.
    schema : Schema or None
        Of the producer's events, if it is known.
    where : str
        "subscription of 'total' to 'counter'", for messages.
    dispatcher : Dispatcher, optional
        The producer's, which may know other options.

    Returns
    -------
    SubscriptionOptions

    Raises
    ------
    OptionError
        For an unknown option or a value that it can't have.
    DemandError
        For demands that can't be, GenStage's rule: 1 <= max_demand and 0 <= min_demand <= max_demand - 1.
    """
    known = EDGE_OPTIONS if dispatcher is None else (*EDGE_OPTIONS, *dispatcher.options)
    for name in given:
        if name not in known:
            raise OptionError(f"{where}: " + nearest("option", name, known, _elsewhere(name)))
    high = event_count(given.get("max_demand", default_max_demand(schema)), f"max_demand of the {where}", 1)
    if high > 1 << 40:
        raise DemandError(f"max_demand of the {where}: got {high}, expected at most 2**40 events; ask for fewer")
    low = event_count(given.get("min_demand", high // 2), f"min_demand of the {where}")
    if low >= high:
        raise DemandError(
            f"min_demand of the {where}: got {low}, expected at most max_demand - 1 = {high - 1}; "
            "lower min_demand or raise max_demand"
        )
    cancel = given.get("cancel", "auto")
    if cancel not in CANCEL_MODES:
        raise OptionError(f"cancel of the {where}: got {cancel!r}, expected one of {', '.join(CANCEL_MODES)}")
    convert = given.get("convert", False)
    if not isinstance(convert, bool):
        raise OptionError(f"convert of the {where}: got {convert!r}, expected True or False")
    writable = given.get("writable", False)
    if not isinstance(writable, bool):
        raise OptionError(f"writable of the {where}: got {writable!r}, expected True or False")
    partition = dispatcher.number_of(given, where) if isinstance(dispatcher, PartitionDispatcher) else 0
    lag, selector = 0, None
    if isinstance(dispatcher, BroadcastDispatcher):
        lag, selector = _broadcast_options(given, where)
    return SubscriptionOptions(
        high, low, cancel, convert, writable, given.get("tag"), dict(given), partition, lag, selector
    )


def _elsewhere(name: str) -> str:
    """Where an option would have been right, for messages."""
    if name in BroadcastDispatcher.options:
        return "a broadcast knows it, so start the producer with dispatcher='broadcast'"
    if name in PartitionDispatcher.options:
        return "partitions know it, so start the producer with dispatcher=ff.PartitionDispatcher(...)"
    if name in STAGE_OPTIONS:
        return f"it belongs to a stage, write rt.start(..., {name}=...)"
    return ""


def _broadcast_options(given: dict[str, Any], where: str) -> tuple[int, Any]:
    """What a reader of a broadcast may say: how it lags, by its number, and what it selects."""
    lag = given.get("lag", "block")
    if lag not in LAGS:
        raise OptionError(f"lag of the {where}: got {lag!r}, expected one of {', '.join(LAGS)}")
    selector = given.get("selector")
    if selector is not None and not callable(selector):
        raise OptionError(f"selector of the {where}: got {selector!r}, expected a function from a batch to a mask; "
                          "give lambda batch: batch > 0, say")
    return LAGS.index(lag), selector


def whole_fits(whole: int, options: SubscriptionOptions, where: str) -> None:
    """Refuse a max_demand that no whole batch of the producer fits into."""
    if whole and options.max_demand < whole:
        raise DemandError(
            f"max_demand of the {where}: got {options.max_demand}, expected at least {whole}, the batches that are "
            f"delivered whole; give max_demand={2 * whole}"
        )
