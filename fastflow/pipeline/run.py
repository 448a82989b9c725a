"""`ff.run`: a pipeline, driven by this thread to its end."""

from __future__ import annotations

import time
from typing import Any

from fastflow.errors import GraphError, Stalled, WaitTimeout
from fastflow.pipeline.parts import assemble, check_names, consumers_ended, sink_of, source_of, step_of, stop_early
from fastflow.runtime import Runtime
from fastflow.runtime.options import wait_seconds
from fastflow.runtime.report import stall_text

__all__ = ["run"]


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
    wait_seconds(timeout, "run")
    deadline = None if timeout is None else time.monotonic() + timeout
    rt = Runtime(seed=seed)
    try:
        check_names(options, "seed", "timeout")
        parts = [*map(step_of, stages[:-1]), sink_of(stages[-1])]
        sink = assemble(rt, [(source_of(source), {})], parts, options)
        _drive_to_the_end(rt, deadline, timeout)
    finally:
        stop_early(rt)
    rt.raise_failures()
    return sink.result()


def _drive_to_the_end(rt: Runtime, deadline: float | None, timeout: float | None) -> None:
    """Drive until every consumer has ended."""

    def over() -> bool:
        return consumers_ended(rt) or bool(rt.failures)

    def late() -> bool:
        return deadline is not None and time.monotonic() >= deadline

    with rt.driving(), rt.pause_after(timeout):
        while not over():
            rt.drive(lambda: over() or late(), deadline)
            if over():
                return
            if late():
                raise WaitTimeout(f"run: not done within {timeout} s, and stopped; give a longer timeout")
            if rt.scheduler.idle and rt.scheduler.next_due() is None and not rt.outside_work.count:
                raise Stalled(f"nothing can move any more, and the pipeline has not ended: {stall_text(rt.seats)}")
