"""Dispatchers: which consumer gets which of the events that a stage emits.

                  ┌─▶ a        DemandDispatcher      whoever has asked most; each event goes to one of them
    producer ─────┼─▶ b        BroadcastDispatcher   every event to all of them
                  └─▶ c        PartitionDispatcher   each event to the one that its key belongs to

    class Trades(ff.Producer):
        dtype = [("symbol", "S8"), ("price", "f8")]
        dispatcher = ff.PartitionDispatcher(4, hash="symbol")

    rt.start(Total(), subscribe_to=[("trades", dict(partition=0))])

A dispatcher also says how much may be emitted: of a demand dispatcher that is all that its consumers together have
asked for, of a broadcast what the slowest of them has.  With ``a`` asking for 10 and ``b`` for 4, `handle_demand` is
given 14 by the first and 4 by the second.

These three are carried out natively (`fastflow._dispatch`); what stands here are their options and checks, and as
`demand` and `dispatch` the same decisions in plain Python.  A class of your own, derived from `Dispatcher`, decides
with just those two methods.  Without one you rarely need more than a partition's `hash`: it sees the whole batch.

Nothing here knows a thread, a ring or a stage: give it numbers and batches, it returns numbers and parts of batches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fastflow._scatter import count_ids, partition_ids
from fastflow.errors import CallbackError, OptionError, SchemaError

__all__ = [
    "BroadcastDispatcher", "DemandDispatcher", "Dispatcher", "PartitionDispatcher", "dispatcher_of", "whole_number",
]

#: What a broadcast does about a reader that has no room.
LAGS = ("block", "drop", "conflate")

#: More events than any counter will ever count.
MOST = 1 << 62

#: A part of a batch for one consumer: where it lies in the batch, or events of its own.
Part = Any
Demands = Mapping[Any, int]


class Dispatcher:
    """Base of dispatchers of your own: two decisions, and word of who comes and goes.

    A dispatcher given to a stage is a template: every start takes a copy, on which `start` is called first.

    Attributes
    ----------
    options : tuple of str
        Names of the subscription options that it knows.

    Examples
    --------
    Everything to whoever subscribed first, as far as that one has asked:

    >>> import fastflow as ff
    >>> class FirstOnly(ff.Dispatcher):
    ...     def demand(self, demands):
    ...         return next(iter(demands.values()), 0)
    ...     def dispatch(self, events, demands):
    ...         first, pending = next(iter(demands.items()), (None, 0))
    ...         n = min(len(events), pending)
    ...         return n, [(first, slice(0, n))] if n else []
    >>> rt = ff.Runtime()
    >>> numbers = rt.start(ff.Range(5), dispatcher=FirstOnly())
    >>> total, other = rt.start_many(ff.Sum(), 2, subscribe_to=[numbers])
    >>> _ = rt.run()
    >>> total.result(), other.result()
    (10, 0)
    """

    options: ClassVar[tuple[str, ...]] = ()

    def start(self) -> None:
        """Begin at a stage of one's own, without consumers."""

    def subscribe(self, subscription: Any, options: Mapping[str, Any]) -> None:
        """Hear of a new consumer; raise to refuse it, which harms nobody else.

        Parameters
        ----------
        subscription : Subscription
            The new one.
        options : mapping
            All that it was given.
        """

    def cancel(self, subscription: Any) -> None:
        """Hear that a consumer takes nothing more."""

    def demand(self, demands: Demands) -> int:
        """Say how many events the stage may emit.

        Parameters
        ----------
        demands : dict of Subscription to int
            What each consumer has asked for and was not sent yet, in the order in which they joined.

        Returns
        -------
        int
            Events, from 0 up; by default all that is asked for.
        """
        return sum(demands.values())

    def dispatch(self, events: Any, demands: Demands) -> tuple[int, list[tuple[Any, Part]]]:
        """Say who gets the next events.

        Parameters
        ----------
        events : ndarray, Batch or list
            What waits, the oldest first.
        demands : dict of Subscription to int
            As for `demand`.

        Returns
        -------
        taken : int
            How many of them, from the front, are done with; the others wait on.
        shares : list of (Subscription, part)
            Parts are slices, integer arrays of positions, or masks, each into `events`; anything else is events of
            your own.  Never more than that consumer has asked for.
        """
        raise OptionError(
            f"{type(self).__name__}: got a dispatcher without dispatch, expected one; "
            "define dispatch(self, events, demands)"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._told()})"

    def _told(self) -> str:
        """The arguments it was made with, as far as they are known."""
        return "..." if vars(self) else ""

    def _check(self, where: str) -> None:
        """Refuse options of the dispatcher itself that can't be."""
        names: Any = self.options
        texts = isinstance(names, Sequence) and all(isinstance(name, str) for name in names)
        if isinstance(names, str) or not texts:
            raise OptionError(
                f"dispatcher of {where}: got options = {names!r} in {type(self).__name__}, expected a tuple of names; "
                "write options = ('weight',)"
            )
        if type(self).dispatch is Dispatcher.dispatch:
            raise OptionError(
                f"dispatcher of {where}: got a {type(self).__name__} without dispatch, expected one; "
                "define dispatch(self, events, demands)"
            )

    def _fresh(self) -> Dispatcher:
        """A copy for one stage."""
        fresh: Dispatcher = copy.copy(self)
        fresh.start()
        return fresh

    def _checked_demand(self, name: str, demands: Demands) -> int:
        """What a dispatcher of the user's says may be emitted."""
        n = self.demand(demands)
        events = whole_number(n, 0)
        if events is None:
            raise CallbackError(
                f"demand of the dispatcher of {name!r}: got {n!r}, expected a whole number of events from 0 up"
            )
        return events

    def _checked_shares(
        self, name: str, events: Any, n: int, demands: Demands
    ) -> tuple[int, list[tuple[Any, Any]]]:
        """What a dispatcher of the user's says about waiting events: how many are done with, and who gets what."""
        where = f"dispatch of the dispatcher of {name!r}"
        left = dict(demands)                # before it is asked: it may count down in what it is given
        answer = self.dispatch(events, demands)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise CallbackError(f"{where}: got {answer!r}, expected (taken, shares); return how many events are done "
                                "with, and a list of (subscription, part)")
        taken, shares = answer
        if isinstance(taken, bool) or not hasattr(taken, "__index__") or not 0 <= taken <= n:
            raise CallbackError(f"{where}: got {taken!r} events taken, expected 0 to {n}, all that wait")
        if not isinstance(shares, Iterable):
            raise CallbackError(f"{where}: got {shares!r} as shares, expected a list of (subscription, part); "
                                "return [] to give nobody anything")
        batches = []
        for share in shares:
            if not isinstance(share, tuple) or len(share) != 2:
                raise CallbackError(f"{where}: got {share!r} as a share, expected (subscription, part)")
            subscription, part = share
            if subscription not in left:
                raise CallbackError(f"{where}: got a share for {subscription!r}, expected one of the subscriptions "
                                    "in `demands`")
            try:
                batch = _part_of(events, part)
                len(batch)
            except (IndexError, TypeError) as error:
                raise CallbackError(f"{where}: got {part!r} for {subscription!r}, expected a slice, an array of "
                                    f"positions or a mask into {len(events)} events, or events ({error})") from error
            if len(batch) > left[subscription]:
                raise CallbackError(f"{where}: got {len(batch)} events for {subscription!r}, expected at most the "
                                    f"{left[subscription]} that it has asked for; give it fewer")
            left[subscription] -= len(batch)
            batches.append((subscription, batch))
        batches.reverse()
        return int(taken), batches


def whole_number(value: Any, least: int) -> int | None:
    """The events that a number means, NumPy's too; None: it means none.  What no counter can reach is cut off."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        return None
    return min(int(value.__index__()), MOST)


def _part_of(events: Any, part: Part) -> Any:
    """The events that a part means; an array of whole numbers or bools always says where they lie."""
    if isinstance(part, slice):
        return events[part]
    if isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in "iub":
        if isinstance(events, list):
            return [events[i] for i in (np.flatnonzero(part) if part.dtype == bool else part)]
        return events[part]
    return part


class DemandDispatcher(Dispatcher):
    """Each event to one consumer: the one with the greatest pending demand first, then the next.

    Among equals the one whose demand has stood unchanged for longest.

    Parameters
    ----------
    shuffle : bool, default False
        Shuffle the order of those that stand equal once, at the first dispatch, so that the first to subscribe is
        not always served first.
    """

    def __init__(self, shuffle: bool = False) -> None:
        if not isinstance(shuffle, bool):
            raise OptionError(f"shuffle of a DemandDispatcher: got {shuffle!r}, expected True or False; leave it out "
                              "for False")
        self.shuffle = shuffle

    def _told(self) -> str:
        return "shuffle=True" if self.shuffle else ""

    def dispatch(self, events: Any, demands: Demands) -> tuple[int, list[tuple[Any, Part]]]:
        """Serve the greatest demand first."""
        shares = []
        taken = 0
        for subscription in sorted(demands, key=lambda each: -demands[each]):
            n = min(demands[subscription], len(events) - taken)
            if n:
                shares.append((subscription, slice(taken, taken + n)))
                taken += n
        return taken, shares


class BroadcastDispatcher(Dispatcher):
    """Every event to every consumer; what may be emitted is the least that any of them has asked for.

    Nothing is copied: all consumers see the same memory.  A consumer that joins later gets what is emitted from then
    on, and holds the others back until it has asked.

    Subscription options:

    - ``selector``: a function from a batch to a mask (bools of shape (n,), for objects a list); the consumer gets the
      events that it selects, and as many others are asked for at once.
    - ``lag``: ``"block"``: the others wait for this consumer; ``"drop"``: it misses what it has no room for;
      ``"conflate"``: what it has not handled yet is replaced by the newest batch.  What it misses is counted.
    """

    options: ClassVar[tuple[str, ...]] = ("lag", "selector")

    def demand(self, demands: Demands) -> int:
        """Emit what the slowest has asked for."""
        return min(demands.values(), default=0)

    def dispatch(self, events: Any, demands: Demands) -> tuple[int, list[tuple[Any, Part]]]:
        """Give the same events to all."""
        n = min(len(events), self.demand(demands))
        return n, [(subscription, slice(0, n)) for subscription in demands] if n else []


class PartitionDispatcher(Dispatcher):
    """Each event to the consumer of the partition that it belongs to.

    What a partition's consumer has not asked for yet waits in that partition's queue, in order, and stays there for
    the next consumer when one leaves.  Demand is pooled: the stage is asked for all that the consumers want together.

    Parameters
    ----------
    partitions : int or iterable of hashable
        How many (their names are 0, 1, ...), or their names.
    hash : str or callable, optional
        A column: partitions by a stable hash of its values.  A function from a batch of n events to n partitions: an
        integer array (or for named partitions a sequence of names), where -1 (or None) discards the event; or a pair
        of other events and their partitions.  None: by a stable hash of the whole event.
    queue_size : int, optional
        Events that may wait for one partition; at that nothing more is asked for until they have left.  By default the
        greatest max_demand of a consumer, at least 1,000.

    Notes
    -----
    The hash does not depend on the process, the machine or the width of an integer: see `fastflow._scatter`.
    """

    options: ClassVar[tuple[str, ...]] = ("partition",)

    def __init__(
        self,
        partitions: int | Iterable[Hashable],
        hash: str | Callable[[Any], Any] | None = None,  # noqa: A002  the field's word
        queue_size: int | None = None,
    ) -> None:
        self.names = _names(partitions)
        self.counted = not isinstance(partitions, Iterable)
        self.numbers = {name: number for number, name in enumerate(self.names)}
        if hash is not None and not (isinstance(hash, str) and hash) and not callable(hash):
            raise OptionError(
                f"hash of a PartitionDispatcher: got {hash!r}, expected the name of a column, or a function from a "
                "batch to partitions; leave it out to hash whole events"
            )
        self.hash = hash
        self.queue_size = None if queue_size is None else whole_number(queue_size, 1)
        if queue_size is not None and self.queue_size is None:
            raise OptionError(
                f"queue_size of a PartitionDispatcher: got {queue_size!r}, expected a number of events from 1 up, or "
                "None"
            )

    def _told(self) -> str:
        told = [str(len(self.names)) if self.counted else f"[{self._list()}]"]
        if self.hash is not None:
            told.append(f"hash={self.hash!r}")
        if self.queue_size is not None:
            told.append(f"queue_size={self.queue_size}")
        return ", ".join(told)

    def number_of(self, options: Mapping[str, Any], where: str) -> int:
        """The partition that a subscription's options name."""
        if "partition" not in options:
            raise OptionError(f"{where}: got no partition, expected one of {self._list()}; subscribe with "
                              "partition=...")
        name = options["partition"]
        wrong = self.counted and (isinstance(name, bool) or not hasattr(name, "__index__"))
        try:
            known = not wrong and name in self.numbers
        except TypeError:
            known = False
        if not known:
            raise OptionError(f"partition of the {where}: got {name!r}, expected one of {self._list()}")
        return self.numbers[name]

    def _list(self) -> str:
        names = [repr(name) for name in self.names[:8]]
        return ", ".join(names) + (f", ... {self.names[-1]!r}" if len(self.names) > 8 else "")

    def route(self, events: Any, first: int) -> tuple[Any, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Which partition each event belongs to.

        Parameters
        ----------
        events : ndarray, Batch or list
            The batch.
        first : int
            Position of its first event in the stage's stream, for messages.

        Returns
        -------
        events : ndarray, Batch, list or None
            What replaces the batch; None: nothing does.
        ids : ndarray of uint8 or int32, shape (n,)
            Partitions from 0 on; their number stands for an event that is discarded.
        counts : ndarray of int64, shape (partitions + 1,)
            Events in each; the last are discarded.

        Raises
        ------
        CallbackError
            The function returned something else; the message names the position of the first wrong event.
        """
        n = len(events)
        if not callable(self.hash):
            keys = events if self.hash is None else self._column(events)
            return None, *partition_ids(keys, len(self.names))
        try:
            answer = self.hash(events)
        except Exception as error:
            error.add_note(f"in the hash of a PartitionDispatcher, events {first} to {first + n - 1}")
            raise
        replaced = None
        if isinstance(answer, tuple) and len(answer) == 2 and not _is_sequence_of_names(answer, n, self):
            replaced, answer = answer
        return replaced, *count_ids(self._numbers(answer, n, first), len(self.names))

    def _column(self, events: Any) -> Any:
        """The column that the hash names."""
        names = getattr(events, "columns", None)
        if names is None or self.hash not in names:
            there = f"columns {', '.join(names)}" if names else "events without columns"
            raise SchemaError(f"hash of a PartitionDispatcher: got column {self.hash!r} of {there}, expected one that "
                              "is there; give a function of the batch, or leave it out to hash whole events")
        return events[self.hash]

    def _numbers(self, answer: Any, n: int, first: int) -> np.ndarray[Any, Any]:
        """Partition numbers out of what the hash function returned."""
        if isinstance(answer, (str, bytes)) or not isinstance(answer, (np.ndarray, Sequence)):
            raise CallbackError(
                f"hash of a PartitionDispatcher: got {type(answer).__name__} {answer!r} for events {first} to "
                f"{first + n - 1}, expected {n} partitions, one "
                "for each event; return an integer array, or (events, partitions)"
            )
        if len(answer) != n or getattr(answer, "ndim", 1) != 1:
            raise CallbackError(
                f"hash of a PartitionDispatcher: got {np.shape(answer)} partitions for events {first} to "
                f"{first + n - 1}, expected shape ({n},), one for each event"
            )
        if self.counted or (isinstance(answer, np.ndarray) and answer.dtype.kind in "iu"):
            return self._counted(np.asarray(answer), first)
        return self._named(answer, first)

    def _counted(self, array: np.ndarray[Any, Any], first: int) -> np.ndarray[Any, Any]:
        if array.dtype.kind not in "iu":
            wrong = 0
            if array.dtype.kind == "f" and np.isnan(array).any():
                wrong = int(np.isnan(array).argmax())
            elif array.dtype == object:
                whole = [isinstance(value, int) and not isinstance(value, bool) for value in array]
                wrong = whole.index(False) if False in whole else 0
            raise CallbackError(
                f"hash of a PartitionDispatcher: got {array[wrong]!r} ({array.dtype}) at position {first + wrong}, "
                f"expected whole numbers from 0 to {len(self.names) - 1}, or -1 to discard the event; return an "
                "integer array"
            )
        bad = (array < -1) | (array >= len(self.names)) if array.dtype.kind == "i" else array >= len(self.names)
        if bad.any():
            wrong = int(bad.argmax())
            raise CallbackError(
                f"hash of a PartitionDispatcher: got unknown partition {array[wrong]} at position {first + wrong}, "
                f"expected 0 to {len(self.names) - 1}, or -1 to discard the event"
            )
        return np.ascontiguousarray(array, np.int64)

    def _named(self, answer: Any, first: int) -> np.ndarray[Any, Any]:
        numbers = np.empty(len(answer), np.int64)
        values = answer.tolist() if isinstance(answer, np.ndarray) else answer
        for i, name in enumerate(values):
            try:
                number = -1 if name is None else self.numbers.get(name)
            except TypeError:
                number = None
            if number is None:
                raise CallbackError(
                    f"hash of a PartitionDispatcher: got unknown partition {name!r} at position {first + i}, expected "
                    f"one of {self._list()}, or None to discard the event"
                )
            numbers[i] = number
        return numbers

    def dispatch(self, events: Any, demands: Demands) -> tuple[int, list[tuple[Any, Part]]]:
        """Give each event to its partition, up to the first whose consumer has not asked for it."""
        replaced, ids, _counts = self.route(events, 0)
        numbers = np.where(ids == len(self.names), -1, ids.astype(np.int64))
        takers = {subscription.partition: subscription for subscription in demands}
        left = {number: demands[subscription] for number, subscription in takers.items()}
        taken = len(events)
        for i, number in enumerate(numbers.tolist()):
            if number >= 0:
                if not left.get(number):
                    taken = i
                    break
                left[number] -= 1
        batch = events if replaced is None else replaced
        return taken, [(takers[number], _part_of(batch, np.flatnonzero(numbers[:taken] == number)))
                       for number in sorted(set(numbers[:taken].tolist()) - {-1})]


def _is_sequence_of_names(answer: tuple[Any, Any], n: int, dispatcher: PartitionDispatcher) -> bool:
    """Whether a pair is two partitions for two events, and not events and their partitions."""
    if n != 2:
        return False
    try:
        return all(name is None or name in dispatcher.numbers for name in answer)
    except TypeError:
        return False


def _names(partitions: Any) -> tuple[Hashable, ...]:
    """Names of partitions, checked."""
    what = "partitions of a PartitionDispatcher"
    if isinstance(partitions, (str, bytes)):
        raise OptionError(f"{what}: got {partitions!r}, expected a number of them or a list of names; write "
                          f"[{partitions!r}]")
    if isinstance(partitions, (set, frozenset)):
        raise OptionError(f"{what}: got {partitions!r}, expected names in an order, which numbers them, and that of a "
                          "set differs from run to run; write sorted(...)")
    if isinstance(partitions, Iterable):
        names = tuple(partitions)
        try:
            different = len(set(names)) == len(names)
        except TypeError as error:
            raise OptionError(
                f"{what}: got {names!r}, expected names that can be looked up ({error}); use text"
            ) from None
        if not names or not different:
            raise OptionError(f"{what}: got {names!r}, expected at least one name, and each once")
        return names
    if isinstance(partitions, bool) or not hasattr(partitions, "__index__"):
        raise OptionError(f"{what}: got {partitions!r}, expected how many there are, or their names")
    n = partitions.__index__()
    if not 1 <= n <= 1 << 20:
        raise OptionError(f"{what}: got {n}, expected 1 to {1 << 20}; give as many as there are consumers")
    return tuple(range(n))


#: Short names for those that need no options.
_BY_NAME: dict[str, type[Dispatcher]] = {"demand": DemandDispatcher, "broadcast": BroadcastDispatcher}


def _hint(value: Any) -> str:
    """What somebody may have meant who gave this for a dispatcher."""
    if isinstance(value, str):
        import difflib  # only errors need it, and every import would pay for it

        near = difflib.get_close_matches(value.lower(), [*_BY_NAME, "partition"], n=1)
        if near:
            return "write ff.PartitionDispatcher(4), say" if near == ["partition"] else f"did you mean {near[0]!r}?"
    return "give one of these"


def dispatcher_of(value: Any, where: str) -> Dispatcher:
    """The dispatcher that an option means.

    Parameters
    ----------
    value : Dispatcher, str or None
        What was given; None is a `DemandDispatcher`.
    where : str
        Name of the stage's class, for messages.

    Returns
    -------
    Dispatcher
        The template; `Dispatcher._fresh` makes the one of a stage.
    """
    if value is None:
        return DemandDispatcher()
    if isinstance(value, str) and value in _BY_NAME:
        return _BY_NAME[value]()
    if isinstance(value, type) and issubclass(value, Dispatcher):
        door = "ff." if value.__module__ == __name__ else ""
        raise OptionError(f"dispatcher of {where}: got the class {value.__name__}, expected a dispatcher; "
                          f"write {door}{value.__name__}(...)")
    if not isinstance(value, Dispatcher):
        raise OptionError(
            f"dispatcher of {where}: got {value!r}, expected 'demand', 'broadcast', an ff.PartitionDispatcher(n), or "
            f"one derived from ff.Dispatcher; {_hint(value)}"
        )
    dispatcher: Dispatcher = value
    dispatcher._check(where)
    return dispatcher
