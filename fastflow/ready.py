"""Ready-made stages, written in Python.

    sources   FromIterable      steps   Map, Filter, Batcher, Throttle      sinks   ForEach, Collect

    total = ff.run([np.arange(10)], ff.Map(lambda x: x * 3), ff.Collect())

Functions get and return batches: an ndarray for a plain dtype, an `ff.Batch` for a structured one, a list for
`object`.  A plain function in a pipeline is an `ff.Map`; these classes are for the cases in which it needs options.
The native ones are in `fastflow.native`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from fastflow.errors import DemandError, OptionError, SchemaError
from fastflow.schema import Batch, concat
from fastflow.stage import Consumer, Producer, ProducerConsumer, check_isolate, does_nothing_yet

__all__ = [
    "Batcher",
    "Collect",
    "Filter",
    "ForEach",
    "FromIterable",
    "Map",
    "Throttle",
]


# -- sources --

_NEVER = object()                       # no item of an iterable is this one


def is_batch(item: Any) -> bool:
    """Whether an item of an iterable is a batch; anything else is one event."""
    return isinstance(item, Batch) or (isinstance(item, np.ndarray) and item.ndim > 0)


class FromIterable(Producer):
    """Events out of an iterable.

    Of its items, arrays and `ff.Batch` are batches, cut to the demand; anything else, a list or dict too, is one event
    of dtype `object`.

    Parameters
    ----------
    iterable : iterable or callable
        A callable is called for the iterable at every start; a generator can be used up only once.
    dtype : dtype-like, optional
        What one event is; None: that of the first item.
    on_cancel : {"continue", "stop"}
        What the end of the last subscription means: nothing, or the stage's normal end.
    isolate : {False, "thread"}
        "thread": the iterable is read on a thread of its own, at most about as far ahead as is asked for, and what has
        arrived is emitted at once.  An iterable that waits then holds up neither what it has given nor other stages.
        Whoever drives waits for it; a stage that is stopped leaves it where it is.

    Examples
    --------
    >>> import fastflow as ff
    >>> ff.run(ff.FromIterable(["a", "b"]), ff.Collect())
    ['a', 'b']
    """

    def __init__(
        self,
        iterable: Iterable[Any] | Callable[[], Iterable[Any]],
        dtype: Any = None,
        on_cancel: str = "continue",
        isolate: bool | str = False,
    ) -> None:
        if not callable(iterable) and not isinstance(iterable, Iterable):
            raise TypeError(
                f"FromIterable: got {type(iterable).__name__}, expected an iterable, or a function that returns one"
            )
        if on_cancel not in ("continue", "stop"):
            raise OptionError(f"on_cancel of FromIterable: got {on_cancel!r}, expected 'continue' or 'stop'")
        check_isolate(type(self), isolate)
        self.dtype = dtype
        self._iterable = iterable
        self._stops, self._isolate = on_cancel == "stop", isolate
        self._reader: Any = None
        self._nothing_yet: Any = _NEVER
        self._consumers = 0
        self._items: Iterator[Any] = iter(())
        self._rest: Any = None
        self._of_batches: bool | None = None
        self._taken = 0

    def _own_options(self) -> dict[str, Any]:
        return {"isolate": self._isolate} if self._isolate else {}

    def read_by(self, reader: Any) -> None:
        """Have the iterable read by a thread; called by the runtime, for ``isolate="thread"``."""
        self._reader, self._nothing_yet = reader, reader.nothing_yet

    def setup(self) -> None:
        """Begin to iterate."""
        if self._reader is None:
            self._items = self._iterator()
        else:
            self._reader.begin(self._iterator, lambda item: len(item) if is_batch(item) else 1)
            self._items = self._reader

    def _iterator(self) -> Iterator[Any]:
        iterable = self._iterable
        if callable(iterable) and not isinstance(iterable, Iterable):
            iterable = iterable()
            if not isinstance(iterable, Iterable):
                raise TypeError(
                    f"source function: got {type(iterable).__name__} from it, expected an iterable; yield batches"
                )
        if isinstance(iterable, (np.ndarray, Batch)):
            iterable = [iterable]
        return iter(iterable)

    def handle_subscribe(self, role: str, options: dict[str, Any], subscription: Any) -> str:
        """Count the consumers."""
        self._consumers += 1
        return "automatic"

    def handle_cancel(self, reason: Any, subscription: Any) -> None:
        """Read no further than is still asked for; stop when the last consumer has left, if that is wanted."""
        self._consumers -= 1
        if self._reader is not None:
            self._reader.allow(self.emitted + self.pending_demand)
        if self._stops and not self._consumers and self._place is not None:
            # At once: to finish would be to wait for somebody who takes what has come back.
            self._place.later(self._place.host.end, ("normal",))

    def handle_demand(self, demand: int) -> Any:
        """Give what is left of the last batch, or the next one, or so many single events."""
        if self._reader is not None:
            self._reader.allow(self.emitted + demand)
        while self._rest is None:
            item = self._next()
            if item is self._nothing_yet:
                return None                     # the reader wakes us
            if item is self:
                self.finish()
                return None
            if not self._of_batches:
                return self._single(item, demand)
            if len(item):
                self._rest = item
        rest = self._rest
        if len(rest) <= demand:
            self._rest = None
            return rest
        self._rest = rest[demand:]
        return rest[:demand]

    def _next(self) -> Any:
        """Take the next item; `self` stands for the end."""
        item = next(self._items, self)
        if item is self or item is self._nothing_yet:
            return item
        if self._of_batches is None:
            self._of_batches = is_batch(item)
        elif self._of_batches is not is_batch(item):
            expected = "a batch (an array or ff.Batch)" if self._of_batches else "a single event"
            raise SchemaError(
                f"item {self._taken} of an iterable: got {type(item).__name__}, expected {expected} like those before "
                "it; let it yield one or the other"
            )
        self._taken += 1
        return item

    def _single(self, first: Any, demand: int) -> list[Any]:
        events = [first]
        try:
            while len(events) < demand:
                item = self._next()
                if item is self:
                    self.finish()
                    break
                if item is self._nothing_yet:
                    break
                events.append(item)
        except Exception as error:  # noqa: BLE001  raised again, to whoever waits
            # What came before it is delivered; the error is raised in the next turn.
            self._items = _raise(error)
        return events


def _raise(error: Exception) -> Iterator[Any]:
    raise error
    yield


# -- steps --


class Map(ProducerConsumer):
    """Each batch through a function that returns a batch; None is no events.

    Parameters
    ----------
    function : callable
        Gets a batch, returns events: an array, a Batch, a dict of columns or a list, of any length.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = _function(function, "Map")

    def handle_events(self, events: Any, source: Any) -> Any:
        """Pass the batch to the function."""
        return self._function(events)


class Filter(ProducerConsumer):
    """Events for which a function says so.

    Parameters
    ----------
    function : callable
        Gets a batch, returns a mask: bools of shape (n,), or for `object` events one truth value each.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = _function(function, "Filter")

    def handle_events(self, events: Any, source: Any) -> Any:
        """Keep the events that the mask says."""
        mask = self._function(events)
        if isinstance(events, list):
            mask = list(mask)
            if len(mask) != len(events):
                raise ValueError(self._wrong(f"{len(mask)} values", len(events)))
            return list(itertools.compress(events, mask))
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != (len(events),):
            raise ValueError(self._wrong(f"{mask.dtype} of shape {mask.shape}", len(events)))
        return events[mask]

    @staticmethod
    def _wrong(got: str, n: int) -> str:
        return f"mask of a Filter: got {got}, expected bools of shape ({n},); return a comparison, say batch > 0"


class Batcher(ProducerConsumer):
    """Batches of exactly `n` events; the rest at the end.

    They are delivered whole, neither cut nor joined, so neither demand nor scheduling changes what the next stage
    sees.  Its subscribers' max_demand must be at least `n`.

    Parameters
    ----------
    n : int
        Events of a batch.
    seconds : float, optional
        Emit what there is when so much time has passed since its first event.

    Examples
    --------
    >>> import fastflow as ff
    >>> ff.run(ff.Range(5), ff.Batcher(2), lambda x: x.sum(keepdims=True), ff.Collect())
    array([1, 5, 4])
    """

    def __init__(self, n: int, seconds: float | None = None) -> None:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
            raise TypeError(f"n of a Batcher: got {n!r}, expected a whole number of events")
        if n < 1:
            raise DemandError(f"n of a Batcher: got {n}, expected at least 1 event")
        if seconds is not None and not 0 < seconds < float("inf"):
            raise ValueError(f"seconds of a Batcher: got {seconds!r}, expected more than 0, or None")
        self._n, self._seconds = int(n), seconds
        self._parts: list[Any] = []
        self._held = 0
        self._timer: Any = None

    def _own_options(self) -> dict[str, Any]:
        return {"whole": self._n}

    def handle_events(self, events: Any, source: Any) -> None:
        """Hold events until there are enough of them."""
        if not self._held and len(events) >= self._n:
            at = len(events) - len(events) % self._n
            for i in range(0, at, self._n):
                self.emit(events[i : i + self._n])
            events = events[at:]
        while self._held and self._held + len(events) >= self._n:
            missing = self._n - self._held
            self._parts.append(events[:missing])
            self._held += missing
            self._flush()
            events = events[missing:]
            if len(events) >= self._n:
                self.handle_events(events, source)
                return
        if len(events):
            if not self._held and self._seconds is not None:
                self._timer = self.after(self._seconds, self._flush)
            self._parts.append(events)
            self._held += len(events)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held:
            self.emit(joined(self._parts))
        self._parts, self._held = [], 0

    def handle_info(self, message: Any) -> None:
        """Emit what there is: time is up."""
        if message == self._flush:
            self._timer = None
            self._flush()

    def handle_end(self) -> None:
        """Emit the rest."""
        self._flush()


def joined(parts: list[Any]) -> Any:
    """Consecutive batches as one."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], list):
        return list(itertools.chain.from_iterable(parts))
    return concat(parts) if isinstance(parts[0], Batch) else np.concatenate(parts)


class Throttle(ProducerConsumer):
    """At most `rate` events a second, passed on as they come.

    It asks its sources by the clock: each event costs a token, and `rate` tokens come every second, up to `burst`.

    Parameters
    ----------
    rate : float
        Events a second, more than 0.
    burst : int, optional
        Events that may pass at once after a pause; by default those of one second, at least 1.
    """

    def __init__(self, rate: float, burst: int | None = None) -> None:
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < float("inf"):
            raise ValueError(f"rate of a Throttle: got {rate!r}, expected events a second, more than 0")
        if burst is not None and (isinstance(burst, bool) or not isinstance(burst, int) or burst < 1):
            raise DemandError(f"burst of a Throttle: got {burst!r}, expected at least 1 event")
        self._rate = float(rate)
        self._burst = max(1, int(rate)) if burst is None else burst
        self._tokens = float(self._burst)
        self._last = 0.0
        self._sources: list[Any] = []
        self._armed = False

    def setup(self) -> None:
        """Begin to count the time."""
        self._last = self._now()

    def handle_subscribe(self, role: str, options: dict[str, Any], subscription: Any) -> str:
        """Ask by the clock and not by the rules."""
        if role == "consumer":
            return "automatic"
        self._sources.append(subscription)
        self._arm(0.0)
        return "manual"

    def handle_cancel(self, reason: Any, subscription: Any) -> None:
        """Ask nothing more of a source that has ended."""
        if subscription in self._sources:
            self._sources.remove(subscription)

    def handle_info(self, message: Any) -> None:
        """Spend the tokens that have come since the last look, on one source after the other."""
        self._armed = False
        now = self._now()
        self._tokens = min(float(self._burst), self._tokens + (now - self._last) * self._rate)
        self._last = now
        idle = [source for source in self._sources if source.counters[0] == source.counters[1]]
        if idle and self._tokens >= 1:
            n = int(self._tokens)
            self._tokens -= n
            self._sources.remove(idle[0])
            self._sources.append(idle[0])
            idle[0].ask(n)
        elif idle:
            self._arm(max(1.0, min(self._burst, self._rate / 20)) / self._rate)

    def handle_events(self, events: Any, source: Any) -> Any:
        """Pass them on."""
        self._arm(0.0)
        return events

    def _arm(self, seconds: float) -> None:
        if not self._armed:
            self._armed = True
            self.after(seconds, "look at the clock")


# -- sinks --


class ForEach(Consumer):
    """Each batch to a function; what it returns is dropped.

    Parameters
    ----------
    function : callable
        Gets a batch.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = _function(function, "ForEach")

    def handle_events(self, events: Any, source: Any) -> None:
        """Pass the batch to the function."""
        self._function(events)


class Collect(Consumer):
    """All events, as one array, Batch or list: for results that fit into memory."""

    def __init__(self) -> None:
        self._parts: list[Any] = []

    def handle_events(self, events: Any, source: Any) -> None:
        """Copy the batch, since to keep it would keep its whole segment."""
        if isinstance(events, list):
            self._parts.append(list(events))
        elif isinstance(events, Batch):
            self._parts.append(Batch({name: events[name].copy() for name in events.columns}))
        else:
            self._parts.append(events.copy())

    def result(self) -> Any:
        """Return all of them; an empty list when there was none."""
        return joined(self._parts) if self._parts else []


def _function(function: Any, what: str) -> Callable[[Any], Any]:
    if not callable(function):
        raise TypeError(f"{what}: got {type(function).__name__}, expected a function of a batch")
    if does_nothing_yet(function):
        raise TypeError(f"{what}: got a generator or coroutine function, which does nothing until it is iterated or "
                        "awaited, expected one that does its work when it is called; return the whole result")
    return function  # type: ignore[no-any-return]  # callable() narrows it to a callable that returns object
