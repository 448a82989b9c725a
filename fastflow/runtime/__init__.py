"""The runtime: the only room that starts threads; schedulers, mail, timers and names.

    runtime.py   Runtime: starts stages, drives their turns, ends well
    seat.py      one stage from construction to end
    joining.py   how a consumer and a producer come to share a subscription
    admission.py whether a producer's dispatcher has a place for a consumer
    ref.py       Ref and Subscription: what a user holds of them
    options.py   the options of a subscription, checked
    recipe.py    what a template and its options come to, for all stages started from it
    outside.py   work outside of the scheduler, which the driver waits for
    threads.py   functions at work on threads of their own
    awaited.py   answers for asyncio
    reader.py    an iterable, read on a thread of its own
    signals.py   Ctrl-C
"""

from fastflow.runtime.ref import Ref, Subscription
from fastflow.runtime.runtime import Runtime

__all__ = ["Ref", "Runtime", "Subscription"]
