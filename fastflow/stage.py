"""Stages: what a user writes as a class, and what every stage can do.

    Producer ──events──▶ ProducerConsumer ──events──▶ Consumer
             ◀──demand──                  ◀──demand──

A producer emits what consumers have asked for; a consumer handles events; a producer_consumer does both.  State is
``self``; callbacks are methods; what they return is emitted::

    class Counter(ff.Producer):
        dtype = "int64"
        state = ("next",)

        def __init__(self, start=0):
            self.next = start

        def handle_demand(self, demand):
            out = self.claim(demand)
            ff.fill_range(out, self.next)
            self.next += len(out)
            return out

**A stage that you construct is a template.**  ``Counter(5)`` remembers 5; the stage that runs is constructed from
that in its own place, at every start.  What is set on the template afterwards is not carried over.  Open files and
connections in `setup`, which is called there, not in ``__init__``.

Nothing here knows a thread: a bare stage can be tested by calling its methods.
"""

from __future__ import annotations

import logging
import reprlib
import time
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastflow._place import StageBase
from fastflow.dispatch import BroadcastDispatcher, PartitionDispatcher, dispatcher_of, whole_number
from fastflow.errors import GraphError, OptionError, StateError, nearest
from fastflow.schema import Schema

__all__ = [
    "LATER",
    "Consumer",
    "Producer",
    "ProducerConsumer",
    "Stage",
    "check_attributes",
    "check_callbacks",
    "check_isolate",
    "check_stage_options",
    "kind_of",
]

log = logging.getLogger("fastflow.stage")


class _Later:
    """What `handle_call` returns when it will reply later."""

    def __repr__(self) -> str:
        return "ff.LATER"


#: Returned by `Stage.handle_call`: the reply comes later, through ``reply(value)``.
LATER = _Later()


class Stage(StageBase):
    """Base of all stages: options as class attributes, callbacks as methods.

    Attributes
    ----------
    dtype : dtype-like, optional
        What one emitted event is; a structured dtype gives columns, ``object`` gives lists.  None: that of the
        first output.  May be set in ``__init__``.
    accepts : dtype-like, optional
        What it takes; None: anything.
    buffer_size : int, optional
        Events emitted beyond demand that are kept; None keeps everything.
    buffer_keep : {"last", "first"}
        Which of them a bounded buffer keeps.
    whole : int
        Each batch has at most so many events and is delivered whole: neither cut nor joined; 0: as demand has it.
    state : tuple of str
        Attributes that are committed with every turn and rolled back when one fails; 64 KiB together.
    subscribe_to : sequence
        Producers to subscribe to at the start: refs or names, or pairs of one and its options.
    name : str, optional
        Under which others find it.
    dispatcher : Dispatcher or {"demand", "broadcast"}, optional
        Which consumer gets what; None: the one that has asked most.
    hold : bool
        Begin with demand held back, until `Ref.release`; producers only.
    isolate : {False, "thread"}
        "thread": an `ff.FromIterable` reads its iterable on a thread of its own.
    """

    dtype: Any = None
    accepts: Any = None
    buffer_size: int | None = None
    buffer_keep: str = "last"
    whole: int = 0
    state: tuple[str, ...] = ()
    subscribe_to: Sequence[Any] = ()
    name: str | None = None
    dispatcher: Any = None
    hold: bool = False
    isolate: bool | str = False

    def __repr__(self) -> str:
        shown = [reprlib.repr(value) for value in self._arguments]
        shown += [f"{name}={reprlib.repr(value)}" for name, value in self._keywords.items()]
        return f"{type(self).__name__}({', '.join(shown)})"

    _emits = False
    _takes = False

    def __init__(self) -> None:
        """Take no arguments; a subclass says what it needs."""

    # -- callbacks --

    def setup(self) -> None:
        """Open what the stage needs; called in its place, after ``__init__``, at every start."""

    def handle_subscribe(self, role: str, options: dict[str, Any], subscription: Any) -> str:
        """Say how to ask on a new subscription.

        Parameters
        ----------
        role : {"producer", "consumer"}
            What the other side is.
        options : dict
            The subscription's options.
        subscription : Subscription
            The new one.

        Returns
        -------
        {"automatic", "manual"}
            Whether demand is asked for by the rules or by `Subscription.ask`; counts on the consumer's side only.
        """
        return "automatic"

    def handle_cancel(self, reason: Any, subscription: Any) -> Any:
        """Hear that a subscription has ended; return events, or None.

        Parameters
        ----------
        reason : str or BaseException
            "normal", "shutdown", "cancel", or what killed the other side.
        subscription : Subscription
            The one that ended.
        """
        return None

    def handle_call(self, request: Any, reply: Any) -> Any:
        """Answer a call: return the reply, or `LATER` and call ``reply(value)`` later."""
        raise OptionError(
            f"call to {type(self).__name__}: got {request!r}, but it has no handle_call; "
            "define handle_call(self, request, reply)"
        )

    def handle_cast(self, request: Any) -> Any:
        """Take a cast; return events, or None."""
        raise OptionError(
            f"cast to {type(self).__name__}: got {request!r}, but it has no handle_cast; "
            "define handle_cast(self, request)"
        )

    def handle_info(self, message: Any) -> Any:
        """Take a message or a timer's; return events, or None."""
        log.warning(
            "message to %s: got %r, but it has no handle_info, so it was dropped; define handle_info(self, message)",
            type(self).__name__,
            message,
        )

    def format_discarded(self, count: int) -> bool:
        """Hear that the buffer discarded `count` events; False suppresses the log line."""
        return True

    def terminate(self, reason: Any) -> None:
        """Clean up; called once, at the end, whatever its reason."""

    def result(self) -> Any:
        """Return what the stage has come to; read after its last turn."""
        return None

    # -- for ready-made stages, whose constructor decides --

    def _own_options(self) -> dict[str, Any]:
        """Options that this very stage has, before those given at the start."""
        return {}

    def _now(self) -> float:
        """Seconds on the runtime's clock."""
        return time.monotonic() if self._place is None else float(self._place.host.now())

    # -- for a bare stage, in a test --

    def _bare_claim(self, n: int) -> Any:
        """Make fresh slots, as no ring is there to claim them from."""
        if not self._emits:
            raise TypeError(f"claim of {type(self).__name__}: a consumer emits nothing; make it an ff.ProducerConsumer")
        if self.dtype is None:
            raise TypeError(
                f"claim of {type(self).__name__}: got no dtype, expected to know what one event is; "
                "set the class attribute dtype, say dtype = 'float64'"
            )
        return Schema.of(self.dtype).empty(n)


class Producer(Stage):
    """A stage that emits events, as many as are asked for."""

    _emits = True

    def handle_demand(self, demand: int) -> Any:
        """Answer demand.

        Parameters
        ----------
        demand : int
            All that is asked for and not yet sent, at least 1.

        Returns
        -------
        array_like, Batch, dict of columns, list, or None
            Events; more than `demand` wait in the buffer.  None or nothing: the stage is not asked again until an
            ask, a message, a timer or `wake`.  That is also what a producer does that emits from other callbacks.
        """
        return None


class Consumer(Stage):
    """A stage that handles events."""

    _takes = True

    def handle_events(self, events: Any, source: Any) -> Any:
        """Handle a batch.

        Parameters
        ----------
        events : ndarray of shape (n,), Batch, or list
            Read-only and valid for as long as you keep it.
        source : Subscription
            Where it came from.
        """
        return None

    def handle_end(self) -> Any:
        """Every source has ended: return what you still hold; then the stage ends."""
        return None

    def _sources_over(self, finish: Callable[[], None]) -> None:
        """`handle_end` is done: end, by `finish`, at once or later."""
        finish()


class ProducerConsumer(Consumer):
    """A stage that handles events and emits others."""

    _emits = True

    def handle_demand(self, demand: int) -> Any:
        """Hear of demand, if you want to; called only when a class defines it.

        Parameters
        ----------
        demand : int
            All that is asked for and not yet sent, at least 1.

        Returns
        -------
        array_like, Batch, dict of columns, list, or None
            Events; with none of them it is not called again until more is asked for, or a message or `wake` comes.
        """
        return None


#: Options that a stage's class may set and `Runtime.start` may override.
STAGE_OPTIONS = (
    "accepts", "buffer_keep", "buffer_size", "dispatcher", "dtype", "hold", "isolate", "name", "state", "subscribe_to",
    "whole",
)

#: Options of every subscription.
EDGE_OPTIONS = ("cancel", "convert", "max_demand", "min_demand", "tag", "writable")

#: The same, and those that only some dispatchers know.
SUBSCRIPTION_OPTIONS = (*EDGE_OPTIONS, *BroadcastDispatcher.options, *PartitionDispatcher.options)

_CALLBACKS = (
    "setup", "handle_demand", "handle_events", "handle_end", "handle_subscribe", "handle_cancel", "handle_call",
    "handle_cast", "handle_info", "format_discarded", "terminate", "result",
)

#: Of code: CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR of the module inspect, which takes long to import.
_LATER_FLAGS = 0x20 | 0x80 | 0x200

_FIXED = frozenset(
    name
    for cls in (Stage, Producer, Consumer, ProducerConsumer, StageBase)
    for name in vars(cls)
    if not name.startswith("__") and name != "dtype"
)


def check_attributes(stage: Stage, when: str) -> None:
    """Refuse attributes that hide a method, a property or an option.

    Parameters
    ----------
    stage : Stage
        After ``__init__`` or `setup`.
    when : str
        Which of the two, for the message.

    Raises
    ------
    OptionError
        With the name of the attribute.
    """
    cls = type(stage)
    fields = getattr(cls, "__dataclass_fields__", ())
    for name in vars(stage):
        if name in _FIXED:
            what = "an option" if name in STAGE_OPTIONS else "a method or property of every stage"
        elif name not in fields and isinstance(
            getattr(cls, name, None), (types.FunctionType, property, classmethod, staticmethod)
        ):
            what = f"a method of {cls.__name__}"
        else:
            continue
        raise OptionError(
            f"attribute {name!r} of {cls.__name__}: set by {when}, but it is {what}, which it would hide; "
            f"choose another name, say {name + '_' if not name.startswith('_') else 'my' + name!r}"
        )


def check_stage_options(cls: type[Stage], options: dict[str, Any]) -> None:
    """Refuse options that no stage has, or values that they can't have.

    Parameters
    ----------
    cls : type
        The stage's class.
    options : dict
        Those given by keyword.
    """
    for name in options:
        if name not in STAGE_OPTIONS:
            elsewhere = ""
            if name in SUBSCRIPTION_OPTIONS:
                elsewhere = f"it belongs to a subscription, write subscribe_to=[(producer, dict({name}=...))]"
            raise OptionError(nearest("option", name, STAGE_OPTIONS, elsewhere))
    if kind_of(cls) == "consumer":
        for name in ("buffer_keep", "buffer_size", "dispatcher", "dtype", "whole"):
            if name in options:
                raise OptionError(
                    f"{name} of {cls.__name__}: got {options[name]!r}, expected none, since a consumer emits nothing; "
                    "make it an ff.ProducerConsumer, or leave the option out"
                )

    for name in _CALLBACKS:
        if does_nothing_yet(getattr(cls, name, None)):
            raise OptionError(
                f"{name} of {cls.__name__}: got a generator or coroutine function, which does nothing until it is "
                "iterated or awaited, expected one that does its work when it is called; return the events, or "
                "self.emit() them"
            )

    def value(name: str) -> Any:
        return options.get(name, getattr(cls, name))

    size = value("buffer_size")
    if size is not None and whole_number(size, 0) != size:
        raise OptionError(
            f"buffer_size of {cls.__name__}: got {size!r}, expected a number of events from 0 up, or None to keep all"
        )
    hold = value("hold")
    if not isinstance(hold, bool):
        raise OptionError(f"hold of {cls.__name__}: got {hold!r}, expected True or False")
    if hold and kind_of(cls) != "producer":
        raise OptionError(f"hold of {cls.__name__}: got True for a {kind_of(cls)}, expected a producer, since only a "
                          "producer's demand can be held back; hold the stage that it subscribes to")
    if value("dispatcher") is not None:
        dispatcher_of(value("dispatcher"), cls.__name__)
    if value("buffer_keep") not in ("first", "last"):
        raise OptionError(f"buffer_keep of {cls.__name__}: got {value('buffer_keep')!r}, expected 'first' or 'last'")
    whole = value("whole")
    if whole_number(whole, 0) != whole:
        raise OptionError(f"whole of {cls.__name__}: got {whole!r}, expected a number of events, or 0")
    state = value("state")
    if isinstance(state, str) or not isinstance(state, Iterable) or not all(isinstance(name, str) for name in state):
        raise StateError(
            f"state of {cls.__name__}: got {state!r}, expected a tuple of attribute names; write state = ('total',)"
        )
    check_isolate(cls, value("isolate"))
    subscribe_to = value("subscribe_to")
    if isinstance(subscribe_to, str) or not isinstance(subscribe_to, Sequence):
        raise OptionError(
            f"subscribe_to of {cls.__name__}: got {subscribe_to!r}, expected a list of refs or names, or of pairs of "
            "one and its options; write subscribe_to=['counter']"
        )
    name = value("name")
    if name is not None and (not isinstance(name, str) or not name):
        raise OptionError(f"name of {cls.__name__}: got {name!r}, expected text that is not empty")


def does_nothing_yet(function: Any) -> bool:
    """Whether calling it does nothing but make a generator or a coroutine."""
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & _LATER_FLAGS)


def check_isolate(cls: type[Stage], isolate: Any) -> None:
    """Refuse a thread for a stage that can't use one: so far only what reads an iterable can."""
    if isolate is False or isolate is None:
        return
    if isolate != "thread":
        raise OptionError(f"isolate of {cls.__name__}: got {isolate!r}, expected False or 'thread'")
    if not hasattr(cls, "read_by"):
        raise OptionError(
            f"isolate of {cls.__name__}: got 'thread', expected False, since so far only an ff.FromIterable has a "
            "thread of its own; leave the option out, or put what blocks into an iterable"
        )


def check_callbacks(stage: Stage) -> None:
    """Refuse a consumer that would not know what to do with events."""
    if not isinstance(stage, Consumer) or hasattr(type(stage), "make_kernel"):
        return
    cls = type(stage)
    if cls.handle_events is Consumer.handle_events:
        raise OptionError(
            f"{cls.__name__}: got a {kind_of(cls)} without handle_events, expected one; "
            "define handle_events(self, events, source)"
        )


def kind_of(cls: type[Stage]) -> str:
    """Which of the three kinds of stage a class is."""
    if cls._emits and cls._takes:
        if not issubclass(cls, ProducerConsumer):
            raise GraphError(
                f"{cls.__name__}: got a class that is a producer and a consumer, expected one kind of stage; "
                "derive it from ff.ProducerConsumer"
            )
        return "producer_consumer"
    if cls._emits:
        return "producer"
    if cls._takes:
        return "consumer"
    raise GraphError(
        f"{cls.__name__}: got a class that is only an ff.Stage, expected a kind of stage; "
        "derive it from ff.Producer, ff.ProducerConsumer or ff.Consumer"
    )
