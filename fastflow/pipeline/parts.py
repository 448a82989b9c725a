"""Parts of a pipeline: what a function, an iterable or an array stands for, and how stages are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastflow.errors import GraphError, OptionError, nearest
from fastflow.ready import ForEach, FromIterable, Map
from fastflow.runtime import Ref, Runtime
from fastflow.runtime.options import subscription_options
from fastflow.schema import Batch
from fastflow.stage import STAGE_OPTIONS, SUBSCRIPTION_OPTIONS, Consumer, Producer, ProducerConsumer, Stage

__all__ = [
    "assemble",
    "check_names",
    "consumers_ended",
    "producers_of",
    "sink_of",
    "source_of",
    "step",
    "step_of",
    "stop_early",
]


class Step:
    """A function with options, where a function alone would do without."""

    def __init__(
        self, function: Callable[[Any], Any], stage_options: dict[str, Any], edge_options: dict[str, Any]
    ) -> None:
        self.function, self.stage_options, self.edge_options = function, stage_options, edge_options

    def __call__(self, batch: Any) -> Any:
        """Do what the function does."""
        return self.function(batch)


def step(function: Callable[[Any], Any], **options: Any) -> Step:
    """A step with options.

    Parameters
    ----------
    function : callable
        Batch in, batch out.
    **options
        Of the stage (``name``, ``dtype``, ``accepts``, ...) and of its subscription (``max_demand``, ...).

    Examples
    --------
    >>> import fastflow as ff
    >>> ff.run(ff.Range(4), ff.step(lambda x: x / 2, dtype="float64"), ff.Sum())
    3.0
    """
    no_class(function, "step")
    if isinstance(function, Stage):
        raise TypeError(f"step: got the stage {type(function).__name__}, expected a function; give the stage as it is")
    if not callable(function):
        raise TypeError(f"step: got {type(function).__name__}, expected a function of a batch")
    for name in options:
        if name not in STAGE_OPTIONS and name not in SUBSCRIPTION_OPTIONS:
            raise OptionError(nearest("option", name, (*STAGE_OPTIONS, *SUBSCRIPTION_OPTIONS)))
    stage_options = {name: value for name, value in options.items() if name in STAGE_OPTIONS}
    return Step(function, stage_options, {name: value for name, value in options.items() if name not in stage_options})


def no_class(thing: Any, what: str) -> None:
    """Refuse a stage's class where a stage is expected."""
    if isinstance(thing, type) and issubclass(thing, Stage):
        raise TypeError(f"{what}: got the class {thing.__name__}, expected a stage; write {thing.__name__}(...)")


def source_of(thing: Any) -> Stage:
    if isinstance(thing, Stage):
        if not isinstance(thing, Producer):
            raise GraphError(f"source: got a {type(thing).__name__}, expected a producer; put it behind one")
        return thing
    no_class(thing, "source")
    if isinstance(thing, Ref):
        raise TypeError(f"source: got the ref {thing.name!r}, expected a producer, an iterable, an array, or a "
                        "function that returns an iterable; loop over ff.stream(ref), or subscribe a stage to it")
    single = isinstance(thing, np.ndarray) and thing.ndim == 0
    if not single and (isinstance(thing, (Iterable, Batch)) or callable(thing)):
        return FromIterable(thing)
    raise TypeError(f"source: got {type(thing).__name__}, expected a producer, an iterable, an array, or a function "
                    "that returns an iterable")


def producers_of(thing: Any) -> list[tuple[Ref | Stage, dict[str, Any]]]:
    """Where a stream's events come from: each producer with the options of its subscription."""
    if isinstance(thing, Ref) or _is_pair(thing):
        return [_producer(thing)]
    if isinstance(thing, (list, tuple)) and any(map(_is_producer, thing)):
        return [_producer(item) for item in thing]
    return [(source_of(thing), {})]


def _is_producer(thing: Any) -> bool:
    if isinstance(thing, type):
        return issubclass(thing, Stage)         # to be refused, and not taken for an event
    return isinstance(thing, (Ref, Stage)) or (isinstance(thing, tuple) and len(thing) > 0 and _is_producer(thing[0]))


def _is_pair(thing: Any) -> bool:
    return isinstance(thing, tuple) and len(thing) == 2 and isinstance(thing[1], dict) and _is_producer(thing[0])


def _producer(thing: Any) -> tuple[Ref | Stage, dict[str, Any]]:
    thing, options = thing if _is_pair(thing) else (thing, {})
    no_class(thing, "source")
    if isinstance(thing, Ref):
        if not thing._seat.cls._emits:
            raise GraphError(f"source: got {thing.name!r}, a consumer, expected a producer; make it an "
                             "ff.ProducerConsumer, or give what it is subscribed to")
        return thing, options
    if isinstance(thing, Stage):
        return source_of(thing), options
    got = repr(thing) if isinstance(thing, tuple) else type(thing).__name__
    raise TypeError(f"source: got {got} among producers, expected a ref, a producer, or a pair of one "
                    "and a dict of options; make a source of it by ff.FromIterable")


def step_of(thing: Any) -> tuple[Stage, dict[str, Any], dict[str, Any]]:
    if isinstance(thing, Step):
        return Map(thing.function), thing.stage_options, thing.edge_options
    if isinstance(thing, Stage):
        if not isinstance(thing, ProducerConsumer):
            raise GraphError(f"step: got a {type(thing).__name__}, expected a producer_consumer or a function")
        return thing, {}, {}
    no_class(thing, "step")
    if callable(thing) and not isinstance(thing, type):
        return Map(thing), {}, {}
    raise TypeError(f"step: got {thing!r}, expected a stage or a function of a batch")


def sink_of(thing: Any) -> tuple[Stage, dict[str, Any], dict[str, Any]]:
    if isinstance(thing, Step):
        return ForEach(thing.function), thing.stage_options, thing.edge_options
    if isinstance(thing, Stage):
        if not isinstance(thing, Consumer) or isinstance(thing, ProducerConsumer):
            raise GraphError(f"sink: got a {type(thing).__name__}, expected a consumer or a function; "
                             "end with ff.Collect() to have the events")
        return thing, {}, {}
    no_class(thing, "sink")
    if callable(thing) and not isinstance(thing, type):
        return ForEach(thing), {}, {}
    raise TypeError(f"sink: got {thing!r}, expected a consumer or a function of a batch")


def check_names(options: dict[str, Any], *others: str) -> None:
    """Refuse what is no option of a subscription."""
    for name in options:
        if name not in SUBSCRIPTION_OPTIONS:
            elsewhere = ""
            if name in STAGE_OPTIONS:
                elsewhere = (f"it belongs to one stage, write ff.step(function, {name}=...) or make it an attribute "
                             "of the class")
            raise OptionError(nearest("option", name, (*SUBSCRIPTION_OPTIONS, *others), elsewhere))


def assemble(
    rt: Runtime,
    producers: list[tuple[Ref | Stage, dict[str, Any]]],
    parts: list[tuple[Stage, dict[str, Any], dict[str, Any]]],
    options: dict[str, Any],
    ahead: int = 0,
) -> Ref:
    """Start the stages and subscribe each to the one before it; the last one's ref.

    The last one's subscriptions are wide enough for `ahead` deliveries more than their options say.
    """
    inputs = [(rt.start(thing) if isinstance(thing, Stage) else thing, given) for thing, given in producers]
    for stage, stage_options, edge_options in parts:
        subscribe_to = [(ref, {**options, **edge_options, **given}) for ref, given in inputs]
        if ahead and stage is parts[-1][0]:
            subscribe_to = [(ref, _widened(ref, given, ahead)) for ref, given in subscribe_to]
        inputs = [(rt.start(stage, **{"subscribe_to": subscribe_to, **stage_options}), {})]
    return inputs[0][0]


def _widened(producer: Ref, given: dict[str, Any], ahead: int) -> dict[str, Any]:
    """Demand for `ahead` deliveries more, each as large as before: it is max - min that says how large."""
    seat = producer._seat
    checked = subscription_options(given, seat.place.schema, f"subscription of a stream to {seat.name!r}",
                                   seat.place.dispatcher)
    more = ahead * (checked.max_demand - checked.min_demand)
    return {**given, "max_demand": checked.max_demand + more, "min_demand": checked.min_demand + more}


def consumers_ended(rt: Runtime) -> bool:
    return rt.open_consumers == 0


def stop_early(rt: Runtime) -> None:
    """End whatever is left, without a word about events that nobody wants any more."""
    rt._stop_all(warn=False)
