"""GenStage's own small benchmarks, at its demands: what a turn costs when a batch is small.

    counter ──▶ sum                              max_demand 1, 10: Python objects; more: int64, NumPy
    counter ──▶ x * 3 + 1 ──▶ keep even ──▶ sum  max_demand 10,000

`min_demand` is left to its default, so a delivery has half of `max_demand`.  The callbacks are as a
user writes them who looks at his profile: `np.add.reduce` for ``events.sum()`` and attributes read
once; the rival calls the same methods in a plain loop, which shows what is left for the pipeline.

GenStage can't stand in the run.  Its figures, which the rows name, were measured with Elixir 1.14
on two cores of a machine like this one; one event of its is one Erlang term.
"""

import pytest

import fastflow as ff
from bench.harness import Rival
from bench.stages import Adder, Objects, PlainAdder, PlainCounter, PlainObjects, PlainReducer, Reducer, add


class Numbers(ff.Producer):
    """Counts up to `stop` in int64."""

    dtype = "int64"

    def __init__(self, stop):
        self.next, self.end = 0, stop

    def handle_demand(self, demand):
        first = self.next
        left = self.end - first
        out = self.claim(demand if demand < left else left)
        ff.fill_range(out, first)
        self.next = first = first + len(out)
        if first == self.end:
            self.finish()
        return out


class PlainNumbers(PlainCounter):
    """The methods of `Numbers` without a stage."""

    handle_demand = Numbers.handle_demand


def scale(x):
    """The step that maps."""
    return x * 3 + 1


def keep_even(x):
    """The step that filters."""
    return x[x % 2 == 0]


def plain_loop(counter, total, demand):
    """Have one called after the other until the counter is at its end; the sum."""
    while counter.next < counter.end:
        total.handle_events(counter.handle_demand(demand), None)
    return total.total


def genstage(events):
    """How a row names GenStage's own figure."""
    return f"(GenStage, not in this run: {events} M events/s)"


@pytest.mark.parametrize(
    ("max_demand", "events", "least", "theirs"),
    [(1, 300_000, 1.5e6, 0.7), (10, 2_000_000, 8e6, 4.1)],
)
def bench_objects_at_max_demand(race, max_demand, events, least, theirs):
    stop, delivery = race.size(events, 53), max(1, max_demand // 2)
    race.faster(
        f"counter -> sum, object events, max_demand {max_demand} {genstage(theirs)}",
        lambda: ff.run(Objects(stop), Adder(), max_demand=max_demand),
        [
            Rival(
                "the same two methods in a plain loop",
                lambda: plain_loop(PlainObjects(stop), PlainAdder(), delivery),
            )
        ],
        amount=stop,
        least_rate=least,
    )


@pytest.mark.parametrize(
    ("max_demand", "events", "least", "theirs"),
    [
        (100, 10_000_000, 30e6, 21),
        (1_000, 100_000_000, 250e6, 33),
        (10_000, 500_000_000, 1_500e6, 45),
        (100_000, 1_000_000_000, 2_500e6, 23),
    ],
)
def bench_arrays_at_max_demand(race, max_demand, events, least, theirs):
    stop, delivery = race.size(events, 3 * max_demand + 5), max_demand // 2
    race.faster(
        f"counter -> sum, int64, NumPy callbacks, max_demand {max_demand:,} {genstage(theirs)}",
        lambda: ff.run(Numbers(stop), Reducer(), max_demand=max_demand),
        [
            Rival(
                "the same two methods in a plain loop over one buffer",
                lambda: plain_loop(PlainNumbers(stop, delivery), PlainReducer(), delivery),
            )
        ],
        amount=stop,
        least_rate=least,
    )


def bench_map_and_filter_at_max_demand(race):
    max_demand = 10_000
    stop, delivery = race.size(20_000_000, 3 * max_demand + 5), max_demand // 2

    def numpy_calls():
        counter, total = PlainNumbers(stop, delivery), 0
        while counter.next < stop:
            total += int(add(keep_even(scale(counter.handle_demand(delivery)))))
        return total

    race.faster(
        f"counter -> x * 3 + 1 -> keep even -> sum, NumPy callbacks, max_demand {max_demand:,} "
        + genstage("23 to 35"),
        lambda: ff.run(Numbers(stop), scale, keep_even, Reducer(), max_demand=max_demand),
        [Rival("the same NumPy calls in a plain loop", numpy_calls, 0.9)],
        amount=stop,
        least_rate=150e6,
    )
