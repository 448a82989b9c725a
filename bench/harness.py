"""A race: the same work done several ways, in turn, round by round, in one run.

    race.faster(...)   we are at least so many times as fast as each rival
    race.cost(...)     what we add to work that is done anyway costs at most so much a batch
    race.latency(...)  one of our answers takes so long at the median, and at the 99th percentile
    race.figure(...)   any other number: bytes, blocks, the seconds of something that is done once

pytest-benchmark runs all rounds of one function before it looks at the next, so that a machine
which changes its speed meanwhile is compared with another machine.  Therefore the rivals run in the
`setup` of each of our rounds, on our own clock, and what is kept is the ratio of the pair.  The
rule: at least 5 rounds, the median with the least and the greatest beside it, and no figure without
equal results.

A race without a benchmark (`Race()`) is small: each way once, results compared, nothing measured.
"""

import dataclasses
import os
import pathlib
import platform
import statistics
import subprocess
import time
from collections.abc import Callable

import numpy as np

from bench import rivals as native

ROUNDS = 11

# A round trip between two cores that share a cache takes 70 to 180 ns on the machines we have
# seen, and 300 to 550 between cores that do not.
FAR_NS = 240


@dataclasses.dataclass(frozen=True)
class Rival:
    """Another way of doing the work.

    Parameters
    ----------
    name : str
        What the table calls it.
    run : callable
        Does the work once; returns its result, or a `Clocked` one.
    least : float, optional
        How many times as fast as this rival we must be; None if it is only shown.
    """

    name: str
    run: Callable[[], object]
    least: float | None = None


@dataclasses.dataclass(frozen=True)
class Clocked:
    """A result together with the seconds it took, for work that keeps its own time."""

    seconds: float
    result: object


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number that is looked at.

    Parameters
    ----------
    work : str
        What is looked at, for the table.
    unit : str
        Of the number.
    most : float
        What the median may be.
    """

    work: str
    unit: str
    most: float


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table, as text, except that `reached` is None where nothing is required."""

    work: str
    ours: str
    rival: str
    ratio: str = ""
    required: str = ""
    reached: bool | None = None

    def cells(self):
        """The line as it is printed, one string a column."""
        reached = {True: "yes", False: "no", None: ""}[self.reached]
        return self.work, self.ours, self.rival, self.ratio, self.required, reached


class Race:
    """Runs our way and the rivals' in turn, compares their results and writes rows.

    Parameters
    ----------
    benchmark : pytest_benchmark fixture, optional
        Measures our rounds; without one the race is small.
    rows : list of Row, optional
        Where the rows go.
    """

    def __init__(self, benchmark=None, rows=None):
        self.benchmark = benchmark
        self.rows = [] if rows is None else rows

    @property
    def small(self):
        """Whether each way runs only once, to compare results."""
        return self.benchmark is None

    def size(self, full, small):
        """`full` in a race that measures, `small` in one that does not."""
        return small if self.small else full

    def faster(
        self, work, ours, rivals, *, amount, unit="events", least_rate=None, cores=1, rounds=ROUNDS
    ):
        """Compare our speed with that of each rival.

        Parameters
        ----------
        work : str
            What is done, for the table.
        ours : callable
            Our way; returns its result, or a `Clocked` one.
        rivals : list of Rival
            The other ways; each gets a row of its own.
        amount : int
            How much is done in a round, in `unit`.
        unit : str
            What the speed counts.
        least_rate : float, optional
            Units a second that we must reach, whoever the rival is.
        cores : {1, 2}
            With 2, the distance between the cores stands in the row.
        rounds : int
            How often everything is run.
        """
        before = self._distance() if cores == 2 else None
        times = self._run([(rival.name, rival.run) for rival in rivals], ours, rounds)
        if cores == 2:
            after = self._distance()
            work += f", cores {before}" if before == after else f", cores {before}, then {after}"
        if self.small:
            return

        ours_seconds = statistics.median(row[-1] for row in times)
        speed = rate(amount, ours_seconds, unit)
        if least_rate is not None:
            required = rate(least_rate, 1, unit)
            reached = amount / ours_seconds >= least_rate
            told = rates(amount, [row[-1] for row in times], unit)
            self.rows.append(Row(work, told, "", "", required, reached))
        for column, rival in enumerate(rivals):
            ratios = [row[column] / row[-1] for row in times]
            median = statistics.median(ratios)
            its_seconds = statistics.median(row[column] for row in times)
            self.benchmark.extra_info[f"ratio to {rival.name}"] = median
            self.rows.append(
                Row(
                    work,
                    speed,
                    f"{rival.name}: {rate(amount, its_seconds, unit)}",
                    spread(ratios, significant),
                    "shown" if rival.least is None else f"{rival.least:g} times",
                    None if rival.least is None else median >= rival.least,
                )
            )

    def cost(self, work, ours, less, *, batches, most, rounds=ROUNDS):
        """Measure what we add, for each batch, to work that is done anyway.

        Parameters
        ----------
        work : str
            What is done, for the table.
        ours : callable
            The whole; returns its result, or a `Clocked` one.
        less : list of Rival
            What is taken off: the parts that are done without us.
        batches : int
            Batches (or hops of batches) in a round: the cost is for one of them.
        most : float
            Seconds that one may cost.
        rounds : int
            How often everything is run.
        """
        times = self._run([(part.name, part.run) for part in less], ours, rounds)
        if self.small:
            return

        costs = [(row[-1] - sum(row[:-1])) / batches for row in times]
        median = statistics.median(costs)
        self.benchmark.extra_info["seconds a batch"] = median
        parts = []
        for column, part in enumerate(less):
            each = statistics.median(row[column] for row in times) / batches
            parts.append(f"less {part.name}: {nanoseconds(each)}")
        self.rows.append(
            Row(
                work,
                f"{spread(costs, nanoseconds)} ns",
                "; ".join(f"{part} ns" for part in parts),
                "",
                f"at most {nanoseconds(most)} ns",
                median <= most,
            )
        )

    def latency(self, work, ours, rivals=(), *, most, rounds=ROUNDS):
        """Compare how long one answer takes, at some percentiles.

        Parameters
        ----------
        work : str
            What is answered, for the table.
        ours : callable
            Our way: waits for many answers, and returns the nanoseconds of each.
        rivals : list of Rival
            The other ways, likewise; they are only shown.
        most : dict of float to float or None
            For each percentile of a round the seconds that its median over the rounds may be; None
            if it is only shown.
        rounds : int
            How often everything is run.
        """
        ways = {rival.name: rival.run for rival in rivals} | {"ours": ours}
        taken = {name: [] for name in ways}

        def way(name):
            def run():
                taken[name].append(np.percentile(ways[name](), list(most)) * 1e-9)

            return run

        self._run([(rival.name, way(rival.name)) for rival in rivals], way("ours"), rounds)
        if self.small:
            return

        for column, (percentile, limit) in enumerate(most.items()):
            at = {name: [row[column] for row in rows[-rounds:]] for name, rows in taken.items()}
            median = statistics.median(at["ours"])
            what, told = f"{work}: p{percentile:g}", f"{spread(at['ours'], microseconds)} us"
            self.benchmark.extra_info[f"p{percentile:g}"] = median
            if limit is not None:
                required = f"at most {microseconds(limit)} us"
                self.rows.append(Row(what, told, "", "", required, median <= limit))
            for rival in rivals:
                ratios = [its / own for its, own in zip(at[rival.name], at["ours"], strict=True)]
                its = f"{rival.name}: {microseconds(statistics.median(at[rival.name]))} us"
                self.rows.append(Row(what, told, its, spread(ratios, significant), "shown"))
            if limit is None and not rivals:
                self.rows.append(Row(what, told, "", "", "shown"))

    def figure(self, work, measure, *, unit, most, rounds=5):
        """Take a number that is no speed, several times.

        Parameters
        ----------
        work, unit, most
            Those of a `Figure`.
        measure : callable
            Looks once; returns the number.
        rounds : int
            How often it is looked at.
        """
        self.figures([Figure(work, unit, most)], lambda: [measure()], rounds=rounds)

    def figures(self, figures, measure, *, rounds=5):
        """Take several such numbers at one look.

        Parameters
        ----------
        figures : list of Figure
            What they are.
        measure : callable
            Looks once; returns the numbers, in the order of `figures`.
        rounds : int
            How often it is looked at.
        """
        if self.small:
            measure()
            return
        looks = []
        self.benchmark.pedantic(lambda: looks.append(measure()), rounds=rounds, iterations=1)
        for figure, numbers in zip(figures, zip(*looks, strict=True), strict=True):
            median = statistics.median(numbers)
            self.benchmark.extra_info[f"{figure.work}, {figure.unit}"] = median
            self.rows.append(
                Row(
                    figure.work,
                    f"{spread(numbers, significant)} {figure.unit}",
                    "",
                    "",
                    f"at most {significant(figure.most)} {figure.unit}",
                    median <= figure.most,
                )
            )

    def _run(self, others, ours, rounds):
        """Seconds of each of the others, then ours, for each round; all results compared."""
        runs = []

        def run_the_others():
            runs.append([clock(run) for _, run in others])

        def run_ours():
            runs[-1].append(clock(ours))

        if self.small:
            run_the_others()
            run_ours()
        else:
            self.benchmark.pedantic(
                run_ours, setup=run_the_others, rounds=rounds, iterations=1, warmup_rounds=1
            )
            del runs[:-rounds]
        for row in runs:
            for (name, _), other in zip(others, row[:-1], strict=True):
                if other.result != row[-1].result:
                    raise AssertionError(
                        f"results differ: ours is {row[-1].result!r}, that of {name} is "
                        f"{other.result!r}; a ratio between different works means nothing"
                    )
        return [[run.seconds for run in row] for row in runs]

    def _distance(self):
        """Whether the two cores share a cache at this moment: "near" or "far"."""
        return "near" if native.ping_pong(self.size(20_000, 200)) < FAR_NS else "far"


def clock(run):
    """Run something once; its own time if it keeps one.

    Parameters
    ----------
    run : callable
        Takes no arguments.

    Returns
    -------
    Clocked
        What it returned, with the seconds it took.
    """
    began = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - began
    return result if isinstance(result, Clocked) else Clocked(seconds, result)


def significant(number):
    """A number with three significant digits, without an exponent.

    Parameters
    ----------
    number : float
        Any finite number.

    Returns
    -------
    str
        ``1.03``, ``14.2``, ``1,230``.
    """
    number = float(f"{number:.3g}")
    size = abs(number)
    digits = 0 if size >= 100 or size == 0 else 1 if size >= 10 else 2
    return f"{number:,.{digits}f}"


def nanoseconds(seconds):
    """Seconds as nanoseconds, with three significant digits."""
    return significant(seconds * 1e9)


def microseconds(seconds):
    """Seconds as microseconds, with three significant digits."""
    return significant(seconds * 1e6)


def rate(amount, seconds, unit):
    """A speed with three significant digits and a prefix of the SI.

    Parameters
    ----------
    amount : float
        What was done, in `unit`.
    seconds : float
        In which time.
    unit : str
        A symbol is joined to its prefix, a word is not.

    Returns
    -------
    str
        ``33.1 GB/s``, ``7.40 G events/s``.
    """
    scale, prefix = _prefix(amount / seconds, unit)
    return f"{significant(amount / seconds / scale)} {prefix}/s"


def rates(amount, seconds, unit):
    """The same of several rounds: ``1.40 [1.31..1.42] M events/s``."""
    scale, prefix = _prefix(amount / statistics.median(seconds), unit)
    return f"{spread([amount / each / scale for each in seconds], significant)} {prefix}/s"


def _prefix(speed, unit):
    """What a speed is divided by, and the unit with the prefix that stands for it."""
    scale, prefix = next(
        (step for step in ((1e9, "G"), (1e6, "M"), (1e3, "K")) if speed >= step[0]), (1, "")
    )
    gap = " " if prefix and len(unit) > 1 else ""
    return scale, f"{prefix}{gap}{unit}"


def spread(numbers, write):
    """``median [least..greatest]`` of some numbers, each as `write` writes it."""
    return f"{write(statistics.median(numbers))} [{write(min(numbers))}..{write(max(numbers))}]"


HEAD = ("work", "ours", "rival", "ratio: median [min..max]", "required", "reached")


def as_text(rows):
    """Yield the lines of a table for the terminal.

    Parameters
    ----------
    rows : list of Row
        In the order in which they were measured.
    """
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line, row in enumerate(cells):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if line == 0:
            yield "  ".join("-" * width for width in widths)


def as_markdown(rows):
    """Yield the lines of the same table in Markdown.

    Parameters
    ----------
    rows : list of Row
        In the order in which they were measured.
    """
    yield "| " + " | ".join(HEAD) + " |"
    yield "|" + " --- |" * len(HEAD)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells()) + " |"


def machine():
    """One line that names what the figures were measured on.

    Returns
    -------
    str
        Processor, cores, system, Python, NumPy and C compiler.
    """
    version = subprocess.run(
        [*native.compiler(), "--version"], capture_output=True, text=True, check=True
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = (
        f"{_processor()}, {cores} cores",
        f"{platform.system()} {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        f"NumPy {np.__version__}",
        version.stdout.splitlines()[0],
    )
    return "Measured on: " + "; ".join(parts)


def _processor():
    """Its name, with family and model where Linux tells them: virtual machines shorten the name."""
    path = pathlib.Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    told = {}
    for line in path.read_text().splitlines():
        key, colon, value = line.partition(":")
        if colon:
            told.setdefault(key.strip(), value.strip())
    name = told.get("model name", platform.machine())
    if "cpu family" in told:
        name += f" (family {told['cpu family']}, model {told['model']})"
    return name
