"""What mypy must refuse: each marked line, and for the reason beside it."""

import numpy as np
import numpy.typing as npt

import fastflow as ff


class Counter(ff.Producer):
    """Counts."""

    def __init__(self, start: int = 0) -> None:
        self.next = start

    def handle_demand(self, demand: int) -> npt.NDArray[np.int64]:
        return np.arange(demand)


class WrongDemand(ff.Producer):
    """Takes its demand for text."""

    def handle_demand(self, demand: str) -> None:  # E: incompatible with supertype
        return None


class WrongTimer(ff.Consumer):
    """Gives a timer text for seconds."""

    def setup(self) -> None:
        self.after("soon", "message")  # E: Argument 1 to "after"

    def handle_events(self, events: npt.NDArray[np.int64], source: ff.Subscription) -> None:
        source.ask("three")  # E: Argument 1 to "ask"


rt = ff.Runtime()

# The constructor of a stage keeps its own signature.
rt.start(Counter("zero"))  # E: Argument 1 to "Counter"
rt.start(Counter(strat=5))  # E: Unexpected keyword argument "strat"

# A template is an instance, not a class or a number.
rt.start(5)  # E: start
rt.start(Counter)  # E: start

ref = rt.start(Counter())
ref.result(timeout="soon")  # E: result
ref.call()  # E: call
ref.no_such_method()  # E: has no attribute "no_such_method"
ref.subscribe()  # E: subscribe
rt.run(timeout="soon")  # E: run
rt[5]  # E: Runtime

ff.Range()  # E: Range
ff.Range("ten")  # E: Range
ff.Batcher("four")  # E: Batcher
ff.step()  # E: step

# What comes later is no name yet.
print(ff.map)  # E: has no attribute "map"
print(ff.Supervisor)  # E: has no attribute "Supervisor"
