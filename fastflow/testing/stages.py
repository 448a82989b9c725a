"""The two ends of a pipeline under test.

    Script ──▶ the stage to be tested ──▶ Recorder
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastflow.schema import Batch
from fastflow.stage import Consumer, Producer

__all__ = ["Recorder", "Script"]


class Recorder(Consumer):
    """Keeps a copy of every batch.

    Attributes
    ----------
    batches : list
        Of arrays, Batches or lists, as they were delivered.
    """

    def __init__(self, accepts: Any = None) -> None:
        self.batches: list[Any] = []
        self._accepts = accepts

    def _own_options(self) -> dict[str, Any]:
        return {} if self._accepts is None else {"accepts": self._accepts}

    def handle_events(self, events: Any, source: Any) -> None:
        """Copy the batch."""
        if isinstance(events, list):
            self.batches.append(list(events))
        elif isinstance(events, Batch):
            self.batches.append(Batch({name: events[name].copy() for name in events.columns}))
        else:
            self.batches.append(events.copy())

    def result(self) -> list[Any]:
        """Return all batches."""
        return self.batches


class Script(Producer):
    """Emits each of some batches as it stands, one a turn when there is demand, then finishes.

    Parameters
    ----------
    batches : iterable
        Arrays, Batches, dicts of columns, or lists.
    dtype : dtype-like, optional
        What one event is.
    """

    def __init__(self, batches: Iterable[Any], dtype: Any = None) -> None:
        self.dtype = dtype
        self._batches = list(batches)
        self._at = 0

    def handle_demand(self, demand: int) -> Any:
        """Emit the next batch."""
        if self._at == len(self._batches):
            self.finish()
            return None
        self._at += 1
        if self._at == len(self._batches):
            self.finish()
        return self._batches[self._at - 1]
