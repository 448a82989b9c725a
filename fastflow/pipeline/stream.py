"""`ff.stream`: a pipeline, driven by a loop over what comes out of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from fastflow.errors import Stalled
from fastflow.pipeline.parts import assemble, consumers_ended, step_of, stop_early
from fastflow.runtime import Runtime
from fastflow.runtime.report import stall_text
from fastflow.stage import Consumer

__all__ = ["stream"]


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
        assemble(rt, source, [*map(step_of, steps), (outlet, {"name": "stream"}, {})], options)
    except BaseException:
        stop_early(rt)
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
                rt.drive(lambda: bool(self._waiting) or bool(rt.failures) or consumers_ended(rt))
            if self._waiting:
                return self._waiting.popleft()
            if not rt.failures and not consumers_ended(rt):
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
            stop_early(self._rt)

    def __del__(self) -> None:
        self.close()
