"""Telemetry: rare events of a run, for whoever listens.

    emit("stage.end", {"turns": 12}, {"stage": "total", "reason": "normal"})  ──▶  every listener

Only what happens rarely is emitted (a stage starts, ends, fails; a run is over), never anything a batch; counters of
what happens often are read where they are kept (`Ref.statistics`).  A listener that raises is removed and logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["emit", "listen", "unlisten"]

log = logging.getLogger("fastflow.telemetry")

Listener = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Have ``listener(event, measures, tags)`` called for every event from now on."""
    _listeners.append(listener)


def unlisten(listener: Listener) -> None:
    """Stop calling a listener; one that is not there is no error."""
    if listener in _listeners:
        _listeners.remove(listener)


def listened() -> bool:
    """Whether anybody listens, so that an event that happens a million times need not be put together."""
    return bool(_listeners)


def emit(event: str, measures: Mapping[str, Any], tags: Mapping[str, Any]) -> None:
    """Tell all listeners.

    Parameters
    ----------
    event : str
        "stage.start", "stage.end", "stage.failed" or "run.end".
    measures : mapping
        Numbers, with units in their names.
    tags : mapping
        What they are about.

    Examples
    --------
    >>> seen = []
    >>> listen(lambda event, measures, tags: seen.append(event))
    >>> emit("run.end", {"seconds": 0.1}, {})
    >>> seen
    ['run.end']
    """
    for listener in list(_listeners):
        try:
            listener(event, measures, tags)
        except Exception:
            unlisten(listener)
            log.exception("telemetry: a listener failed at %r and was removed", event)
