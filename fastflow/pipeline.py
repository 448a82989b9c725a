"""Pipelines: page one.

    total = ff.run(ff.Range(1_000_000), lambda x: x * 3 + 1, lambda x: x[x % 2 == 0], ff.Sum())

    for batch in ff.stream(read_blocks(path), parse):
        ...

A thin layer over stages: a source, steps and a sink are subscribed to each other in a runtime of their own, which this
thread drives.  Functions, iterables and arrays go in where stages do:

    in place of    a function is                          anything else
    the source     called for the iterable                an iterable, array or Batch is an `ff.FromIterable`
    a step         an `ff.Map`: batch in, batch out
    the sink       an `ff.ForEach`
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from fastflow.errors import GraphError, OptionError, Stalled, WaitTimeout, nearest
from fastflow.ready import ForEach, FromIterable, Map
from fastflow.runtime import Ref, Runtime
from fastflow.runtime.options import NAMES as SUBSCRIPTION_OPTIONS
from fastflow.runtime.report import stall_text
from fastflow.schema import Batch
from fastflow.stage import STAGE_OPTIONS, Consumer, Producer, ProducerConsumer, Stage

__all__ = ["run", "step", "stream"]


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
    _no_class(function, "step")
    if isinstance(function, Stage):
        raise TypeError(f"step: got the stage {type(function).__name__}, expected a function; give the stage as it is")
    if not callable(function):
        raise TypeError(f"step: got {type(function).__name__}, expected a function of a batch")
    for name in options:
        if name not in STAGE_OPTIONS and name not in SUBSCRIPTION_OPTIONS:
            raise OptionError(nearest("option", name, (*STAGE_OPTIONS, *SUBSCRIPTION_OPTIONS)))
    stage_options = {name: value for name, value in options.items() if name in STAGE_OPTIONS}
    return Step(function, stage_options, {name: value for name, value in options.items() if name not in stage_options})


def _no_class(thing: Any, what: str) -> None:
    """Refuse a stage's class where a stage is expected."""
    if isinstance(thing, type) and issubclass(thing, Stage):
        raise TypeError(f"{what}: got the class {thing.__name__}, expected a stage; write {thing.__name__}(...)")


def _source(thing: Any) -> Stage:
    if isinstance(thing, Stage):
        if not isinstance(thing, Producer):
            raise GraphError(f"source: got a {type(thing).__name__}, expected a producer; put it behind one")
        return thing
    _no_class(thing, "source")
    single = isinstance(thing, np.ndarray) and thing.ndim == 0
    if not single and (isinstance(thing, (Iterable, Batch)) or callable(thing)):
        return FromIterable(thing)
    raise TypeError(f"source: got {type(thing).__name__}, expected a producer, an iterable, an array, or a function "
                    "that returns an iterable")


def _step(thing: Any) -> tuple[Stage, dict[str, Any], dict[str, Any]]:
    if isinstance(thing, Step):
        return Map(thing.function), thing.stage_options, thing.edge_options
    if isinstance(thing, Stage):
        if not isinstance(thing, ProducerConsumer):
            raise GraphError(f"step: got a {type(thing).__name__}, expected a producer_consumer or a function")
        return thing, {}, {}
    _no_class(thing, "step")
    if callable(thing) and not isinstance(thing, type):
        return Map(thing), {}, {}
    raise TypeError(f"step: got {thing!r}, expected a stage or a function of a batch")


def _sink(thing: Any) -> tuple[Stage, dict[str, Any], dict[str, Any]]:
    if isinstance(thing, Step):
        return ForEach(thing.function), thing.stage_options, thing.edge_options
    if isinstance(thing, Stage):
        if not isinstance(thing, Consumer) or isinstance(thing, ProducerConsumer):
            raise GraphError(f"sink: got a {type(thing).__name__}, expected a consumer or a function; "
                             "end with ff.Collect() to have the events")
        return thing, {}, {}
    _no_class(thing, "sink")
    if callable(thing) and not isinstance(thing, type):
        return ForEach(thing), {}, {}
    raise TypeError(f"sink: got {thing!r}, expected a consumer or a function of a batch")


def _assemble(
    rt: Runtime, source: Any, parts: list[tuple[Stage, dict[str, Any], dict[str, Any]]], options: dict[str, Any]
) -> Ref:
    """Start the stages and subscribe each to the one before it; the last one's ref."""
    for name in options:
        if name not in SUBSCRIPTION_OPTIONS:
            raise OptionError(nearest("option", name, (*SUBSCRIPTION_OPTIONS, "seed", "timeout")))
    ref = rt.start(_source(source))
    for stage, stage_options, edge_options in parts:
        ref = rt.start(stage, **{"subscribe_to": [(ref, {**options, **edge_options})], **stage_options})
    return ref


def _consumers_ended(rt: Runtime) -> bool:
    return rt.open_consumers == 0


def _stop_early(rt: Runtime) -> None:
    """End whatever is left, without a word about events that nobody wants any more."""
    rt._stop_all(warn=False)


def run(source: Any, *stages: Any, timeout: float | None = None, seed: int = 0, **options: Any) -> Any:
    """Run a pipeline in this thread, to its end.

    Parameters
    ----------
    source : Producer, iterable, ndarray, Batch, or callable that returns an iterable
        Where events come from.
    *stages : ProducerConsumer, Consumer or callable
        Steps, and last the sink.
    timeout : float, optional
        Seconds; after that everything is stopped and WaitTimeout raised.
    seed : int, default 0
        Of every stage's `rng`.
    **options
        Of every subscription: ``max_demand``, ``min_demand``, ``convert``.

    Returns
    -------
    object
        The sink's result.

    Raises
    ------
    Stalled
        Nothing can move any more, and the sink has not ended.
    Exception
        Whatever a callback raised, with a note that says where.

    Examples
    --------
    >>> import fastflow as ff
    >>> ff.run(ff.Range(1_000), lambda x: x * 3 + 1, lambda x: x[x % 2 == 0], ff.Sum())
    749500
    """
    if not stages:
        raise GraphError("run: got a source alone, expected a sink behind it; end with ff.Collect(), say")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0):
        raise ValueError(f"timeout of run: got {timeout!r}, expected seconds from 0 up, or None")
    deadline = None if timeout is None else time.monotonic() + timeout
    rt = Runtime(seed=seed)
    try:
        sink = _assemble(rt, source, [*map(_step, stages[:-1]), _sink(stages[-1])], options)
        _drive_to_the_end(rt, deadline, timeout)
    finally:
        _stop_early(rt)
    rt.raise_failures()
    return sink.result()


def _drive_to_the_end(rt: Runtime, deadline: float | None, timeout: float | None) -> None:
    """Drive until every consumer has ended."""

    def over() -> bool:
        return _consumers_ended(rt) or bool(rt.failures)

    def late() -> bool:
        return deadline is not None and time.monotonic() >= deadline

    with rt.driving(), rt.pause_after(timeout):
        while not over():
            rt.drive(lambda: over() or late(), deadline)
            if over():
                return
            if late():
                raise WaitTimeout(f"run: not done within {timeout} s, and stopped; give a longer timeout")
            if rt.scheduler.idle and rt.scheduler.next_due() is None:
                raise Stalled(f"nothing can move any more, and the pipeline has not ended: {stall_text(rt.seats)}")


class _Outlet(Consumer):
    """The end of a stream: lets each batch out of the loop."""

    def __init__(self, batches: deque[Any], pause: Callable[[], None]) -> None:
        self._batches, self._pause = batches, pause

    def handle_events(self, events: Any, source: Any) -> None:
        """Hold the batch until the loop's body has had it."""
        self._batches.append(events)
        self._pause()


def stream(source: Any, *steps: Any, seed: int = 0, **options: Any) -> Iterator[Any]:
    """Iterate over what comes out of a pipeline; this thread drives it.

    Nothing runs ahead of the loop.  Leaving the loop early stops the pipeline.

    Parameters
    ----------
    source : Producer, iterable, ndarray, Batch, or callable that returns an iterable
        Where events come from.
    *steps : ProducerConsumer or callable
        What they go through.
    seed : int, default 0
        Of every stage's `rng`.
    **options
        Of every subscription.

    Yields
    ------
    ndarray, Batch or list
        The next events; valid for as long as you keep them.

    Examples
    --------
    >>> import fastflow as ff
    >>> [int(batch.sum()) for batch in ff.stream(ff.Range(4), lambda x: x * 2)]
    [12]
    """
    rt = Runtime(seed=seed)
    batches: deque[Any] = deque()
    outlet = _Outlet(batches, rt.scheduler.pause)
    try:
        _assemble(rt, source, [*map(_step, steps), (outlet, {"name": "stream"}, {})], options)
    except BaseException:
        _stop_early(rt)
        raise
    return _Batches(rt, batches)


class _Batches(Iterator[Any]):
    """What comes out of a pipeline; stops it when the loop is over, in whatever way."""

    def __init__(self, rt: Runtime, batches: deque[Any]) -> None:
        self._rt, self._waiting = rt, batches

    def __next__(self) -> Any:
        rt = self._rt
        if rt.closed:
            raise StopIteration
        try:
            with rt.driving():
                rt.drive(lambda: bool(self._waiting) or bool(rt.failures) or _consumers_ended(rt))
            if self._waiting:
                return self._waiting.popleft()
            if not rt.failures and not _consumers_ended(rt):
                raise Stalled(f"nothing can move any more, and the stream has not ended: {stall_text(rt.seats)}")
        except BaseException:
            self.close()
            raise
        self.close()
        try:
            rt.raise_failures()
        except StopIteration as error:
            # Raised here as it is, it would end the loop as if nothing had happened.
            raise RuntimeError("a callback raised StopIteration") from error
        raise StopIteration

    def close(self) -> None:
        """Stop the pipeline; nothing more comes."""
        self._waiting.clear()
        if not self._rt.closed:
            _stop_early(self._rt)

    def __del__(self) -> None:
        self.close()
