"""Parts of a pipeline: what a function, an iterable or an array stands for, and how stages are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastflow.errors import GraphError, OptionError, nearest
from fastflow.ready import ForEach, FromIterable, Map
from fastflow.runtime import Ref, Runtime
from fastflow.runtime.options import NAMES as SUBSCRIPTION_OPTIONS
from fastflow.schema import Batch
from fastflow.stage import STAGE_OPTIONS, Consumer, Producer, ProducerConsumer, Stage

__all__ = ["assemble", "consumers_ended", "sink_of", "source_of", "step", "step_of", "stop_early"]


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
    single = isinstance(thing, np.ndarray) and thing.ndim == 0
    if not single and (isinstance(thing, (Iterable, Batch)) or callable(thing)):
        return FromIterable(thing)
    raise TypeError(f"source: got {type(thing).__name__}, expected a producer, an iterable, an array, or a function "
                    "that returns an iterable")


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


def assemble(
    rt: Runtime, source: Any, parts: list[tuple[Stage, dict[str, Any], dict[str, Any]]], options: dict[str, Any]
) -> Ref:
    """Start the stages and subscribe each to the one before it; the last one's ref."""
    for name in options:
        if name not in SUBSCRIPTION_OPTIONS:
            raise OptionError(nearest("option", name, (*SUBSCRIPTION_OPTIONS, "seed", "timeout")))
    ref = rt.start(source_of(source))
    for stage, stage_options, edge_options in parts:
        ref = rt.start(stage, **{"subscribe_to": [(ref, {**options, **edge_options})], **stage_options})
    return ref


def consumers_ended(rt: Runtime) -> bool:
    return all(seat.ending for seat in rt.seats if seat.kind == "consumer")


def stop_early(rt: Runtime) -> None:
    """End whatever is left, without a word about events that nobody wants any more."""
    rt._stop_all(warn=False)
