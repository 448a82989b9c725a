"""Supervisors: who starts children, starts them again, and sees to it that they end.

    consumer.py   ConsumerSupervisor: a child for each event
    accounts.py   whose child is whose, and what its end means: decisions, without a thread or a clock
    window.py     how many restarts in how many seconds are too many

    sup = rt.start(ff.ConsumerSupervisor(fetch), subscribe_to=[(urls, dict(max_demand=8))])
    ff.supervisor.count_children(sup)

What is decided is decided in plain classes that a test drives by hand; the stage only carries it out.
"""

from fastflow.runtime.threads import ChildThread, this_child
from fastflow.supervisor.consumer import (
    ConsumerSupervisor,
    count_children,
    start_child,
    terminate_child,
    which_children,
)
from fastflow.supervisor.window import RestartWindow

__all__ = [
    "ChildThread",
    "ConsumerSupervisor",
    "RestartWindow",
    "count_children",
    "start_child",
    "terminate_child",
    "this_child",
    "which_children",
]
