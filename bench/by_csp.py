"""A broadcast by csp: a node that counts, eight that add up; a tick is a whole array.

csp reads the source of its nodes, so they have a file of their own; it is a rival only where it is
installed (`pip install csp`).
"""

from datetime import datetime, timedelta

import csp
import numpy as np


@csp.node
def count_up(batch: int, stop: int) -> csp.ts[object]:
    """Tick with one array after the other, each as soon as the one before it is done with."""
    with csp.alarms():
        again = csp.alarm(bool)
    with csp.state():
        s_next = 0
    with csp.start():
        csp.schedule_alarm(again, timedelta(), True)
    if csp.ticked(again):
        first = s_next
        s_next = min(first + batch, stop)
        if s_next < stop:
            csp.schedule_alarm(again, timedelta(microseconds=1), True)
        csp.output(np.arange(first, s_next))


@csp.node
def add_up(events: csp.ts[object], totals: object, i: int):
    """Add up the arrays, and leave the sum in place `i` of a list."""
    with csp.state():
        s_total = 0
    with csp.stop():
        totals[i] = s_total
    if csp.ticked(events):
        s_total += int(np.add.reduce(events))


@csp.graph
def broadcast(batch: int, stop: int, totals: object):
    """Join the one to all the others."""
    events = count_up(batch, stop)
    for i in range(len(totals)):
        add_up(events, totals, i)


def sums(stop, batch, readers):
    """Sums of ``range(stop)``, one for each reader."""
    totals = [0] * readers
    began = datetime(2020, 1, 1)
    csp.run(broadcast, batch, stop, totals, starttime=began, endtime=began + timedelta(days=1))
    return totals
