"""fastflow: bulk pipelines in plain Python that stay in memory and use every core.

    import fastflow as ff

    total = ff.run(ff.Range(1_000_000_000), lambda x: x * 3 + 1, lambda x: x[x % 2 == 0], ff.Sum())

Page one: `run`, `stream`, `step`.  Page two: `Producer`, `ProducerConsumer` and `Consumer` in a `Runtime`.  Importing
starts nothing.
"""

from __future__ import annotations

import logging as _logging
import os as _os

from fastflow import testing
from fastflow._native import fill_range
from fastflow.dispatch import BroadcastDispatcher, DemandDispatcher, Dispatcher, PartitionDispatcher
from fastflow.errors import (
    CallbackError,
    Closed,
    DemandError,
    FastflowError,
    GaveUp,
    GraphError,
    Killed,
    MissingExtra,
    NameTaken,
    NotDriven,
    OptionError,
    Retry,
    SchemaError,
    Stalled,
    StateError,
    WaitTimeout,
)
from fastflow.native import Count, Max, Min, Range, Sum
from fastflow.pipeline import run, step, stream
from fastflow.ready import (
    Batcher,
    Collect,
    Filter,
    ForEach,
    FromIterable,
    Map,
    Throttle,
)
from fastflow.runtime import Ref, Runtime, Subscription
from fastflow.schema import Batch
from fastflow.stage import LATER, Consumer, Producer, ProducerConsumer, Stage
from fastflow.supervisor import ConsumerSupervisor

__version__ = "0.1.0"

# Silent until somebody listens.
_logging.getLogger("fastflow").addHandler(_logging.NullHandler())

__all__ = [
    "LATER",
    "Batch",
    "Batcher",
    "BroadcastDispatcher",
    "CallbackError",
    "Closed",
    "Collect",
    "Consumer",
    "ConsumerSupervisor",
    "Count",
    "DemandDispatcher",
    "DemandError",
    "Dispatcher",
    "FastflowError",
    "Filter",
    "ForEach",
    "FromIterable",
    "GaveUp",
    "GraphError",
    "Killed",
    "Map",
    "Max",
    "Min",
    "MissingExtra",
    "NameTaken",
    "NotDriven",
    "OptionError",
    "PartitionDispatcher",
    "Producer",
    "ProducerConsumer",
    "Range",
    "Ref",
    "Retry",
    "Runtime",
    "SchemaError",
    "Stage",
    "Stalled",
    "StateError",
    "Subscription",
    "Sum",
    "Throttle",
    "WaitTimeout",
    "fill_range",
    "get_include",
    "run",
    "step",
    "stream",
    "testing",
]


def get_include() -> str:
    """Return the folder with the headers that ``cimport fastflow._core`` needs.

    Returns
    -------
    str
        For ``include_dirs`` of an extension module.
    """
    return _os.path.dirname(_os.path.abspath(__file__))
