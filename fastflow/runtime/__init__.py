"""The runtime: the only room that starts threads; schedulers, mail, timers and names.

    runtime.py   Runtime: starts stages, drives their turns, ends well
    seat.py      one stage from construction to end
    ref.py       Ref and Subscription: what a user holds of them
    options.py   the options of a subscription, checked
    outside.py   threads at work that the driver waits for
    signals.py   Ctrl-C
"""

from fastflow.runtime.ref import Ref, Subscription
from fastflow.runtime.runtime import Runtime

__all__ = ["Ref", "Runtime", "Subscription"]
