"""Every benchmark once, small, for equal results; the table and the rivals in C by themselves.

No ratio is looked at here: on a shared machine it would fail by chance.  `make bench` measures.
"""

import importlib
import os
import pathlib
import subprocess
import sys

import pytest

import bench
import fastflow
from bench import harness, rivals

FOLDER = pathlib.Path(bench.__file__).parent


@pytest.fixture
def race():
    """A small race: each way runs once, and their results are compared."""
    return harness.Race()


# A benchmark is a function of a `race`: under a name that pytest looks for, it is a test of the
# fixture above, with its parameters, so that a benchmark that is added is tested without a word.
for path in sorted(FOLDER.glob("bench_*.py")):
    module = importlib.import_module(f"bench.{path.stem}")
    for name, benchmark in vars(module).items():
        if name.startswith("bench_"):
            globals()[f"test_{name}"] = benchmark


class Stopwatch:
    """Stands in for the fixture of pytest-benchmark."""

    def __init__(self):
        self.extra_info = {}

    def pedantic(self, target, *, setup=lambda: None, rounds, iterations, warmup_rounds=0):
        assert iterations == 1
        for _ in range(warmup_rounds + rounds):
            setup()
            target()


def took(seconds, result="same"):
    """A way of doing some work that keeps its own time."""
    return lambda: harness.Clocked(seconds, result)


def test_results_that_differ_are_an_error_that_names_the_rival(race):
    with pytest.raises(AssertionError, match=r"ours is 3, that of the other way is 4"):
        race.faster("work", lambda: 3, [harness.Rival("the other way", lambda: 4)], amount=1)


def test_a_small_race_writes_no_rows(race):
    race.faster("work", lambda: 3, [harness.Rival("the other way", lambda: 3, 2)], amount=1)

    assert race.rows == []


def test_each_rival_runs_before_each_of_our_rounds_and_in_turn():
    ran = []
    race = harness.Race(Stopwatch())

    race.faster(
        "work",
        lambda: ran.append("ours"),
        [harness.Rival(name, lambda name=name: ran.append(name)) for name in ("first", "second")],
        amount=1,
        rounds=5,
    )

    assert ran == ["first", "second", "ours"] * 6  # the first of them warms up


def test_the_median_of_the_ratios_is_taken_pair_by_pair():
    # The ratio of the two medians would be 1.
    ours, theirs = iter([1, 1, 2, 4, 8, 16]), iter([9, 2, 4, 8, 4, 4])
    stopwatch = Stopwatch()
    race = harness.Race(stopwatch)

    race.faster(
        "work",
        lambda: harness.Clocked(next(ours), None),
        [harness.Rival("other", lambda: harness.Clocked(next(theirs), None), least=2)],
        amount=12,
        rounds=5,
    )

    assert stopwatch.extra_info == {"ratio to other": 2}
    assert [row.cells() for row in race.rows] == [
        ("work", "3.00 events/s", "other: 3.00 events/s", "2.00 [0.25..2.00]", "2 times", "yes")
    ]


def test_a_rival_that_is_only_shown_requires_nothing():
    race = harness.Race(Stopwatch())

    race.faster("work", took(1.0), [harness.Rival("other", took(0.5))], amount=1)

    assert race.rows[0].cells()[3:] == ("0.50 [0.50..0.50]", "shown", "")


def test_a_rate_that_is_required_has_a_row_of_its_own():
    race = harness.Race(Stopwatch())

    seconds = iter([9.0, 1.0, 2.0, 0.5])

    race.faster(
        "work",
        lambda: harness.Clocked(next(seconds), None),
        [],
        amount=1_400_000,
        least_rate=1.5e6,
        rounds=3,
    )

    ours = "1.40 [0.70..2.80] M events/s"
    assert race.rows[0].cells() == ("work", ours, "", "", "1.50 M events/s", "no")


def test_a_cost_is_what_is_left_for_a_batch_after_the_parts():
    race = harness.Race(Stopwatch())
    parts = [harness.Rival("a part", took(2e-6)), harness.Rival("another", took(1e-6))]

    race.cost("work", took(4e-6), parts, batches=10, most=100e-9)

    assert race.rows[0].cells() == (
        "work",
        "100 [100..100] ns",
        "less a part: 200 ns; less another: 100 ns",
        "",
        "at most 100 ns",
        "yes",
    )


def test_a_figure_is_the_median_of_what_was_looked_at():
    numbers = iter([7, 3, 5, 4, 6])
    race = harness.Race(Stopwatch())

    race.figure("work", lambda: next(numbers), unit="blocks", most=4)

    assert race.rows[0].cells()[1:] == (
        "5.00 [3.00..7.00] blocks",
        "",
        "",
        "at most 4.00 blocks",
        "no",
    )


def test_figures_of_one_look_have_a_row_each():
    looks = iter([(1, 30), (2, 10), (3, 20)])
    race = harness.Race(Stopwatch())
    figures = [harness.Figure("how long", "s", 2), harness.Figure("how much", "B", 10)]

    race.figures(figures, lambda: next(looks), rounds=3)

    assert [row.cells()[:2] + row.cells()[4:] for row in race.rows] == [
        ("how long", "2.00 [1.00..3.00] s", "at most 2.00 s", "yes"),
        ("how much", "20.0 [10.0..30.0] B", "at most 10.0 B", "no"),
    ]


def test_a_latency_has_a_row_for_each_percentile_and_rival():
    rounds = iter([[9000], [2000], [9000], [1000, 1000, 4000], [8000], [2000, 2000, 2000]])
    race = harness.Race(Stopwatch())

    race.latency(
        "one call",
        lambda: next(rounds),
        [harness.Rival("other", lambda: next(rounds))],
        most={50: 1e-6, 100: None},
        rounds=2,
    )

    assert [row.cells() for row in race.rows] == [
        ("one call: p50", "1.50 [1.00..2.00] us", "", "", "at most 1.00 us", "no"),
        ("one call: p50", "1.50 [1.00..2.00] us", "other: 8.50 us", "6.50 [4.00..9.00]", "shown", ""),
        ("one call: p100", "3.00 [2.00..4.00] us", "other: 8.50 us", "3.12 [2.25..4.00]", "shown", ""),
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.97, "0.97"),
        (14.23, "14.2"),
        (215.4, "215"),
        (-3, "-3.00"),
        (1234, "1,230"),
        (99.999, "100"),
    ],
)
def test_numbers_are_written_with_three_digits(number, text):
    assert harness.significant(number) == text


@pytest.mark.parametrize(
    ("amount", "seconds", "unit", "text"),
    [
        (7.4e9, 1, "events", "7.40 G events/s"),
        (3e6, 2, "events", "1.50 M events/s"),
        (33.1e9, 1, "B", "33.1 GB/s"),
        (12, 1, "B", "12.0 B/s"),
    ],
)
def test_rates_are_written_with_a_prefix(amount, seconds, unit, text):
    assert harness.rate(amount, seconds, unit) == text


def test_both_tables_have_the_same_cells():
    row = harness.Row("work | more", "1 s", "other", "1.00", "0.97 times", True)

    text, markdown = list(harness.as_text([row])), list(harness.as_markdown([row]))

    assert text[-1].split("  ")[0] == "work | more"
    assert markdown[-1] == "| work \\| more | 1 s | other | 1.00 | 0.97 times | yes |"
    assert len(markdown[1].strip("|").split("|")) == len(harness.HEAD)


@pytest.mark.parametrize("block", [1, 7, 64, 5000])
@pytest.mark.parametrize(("start", "stop"), [(0, 1000), (-700, 300), (2**40, 2**40 + 33), (5, 5)])
def test_the_sum_in_c_is_exact(start, stop, block):
    assert rivals.blocked_sum(stop, block, start) == sum(range(start, stop))


def test_the_sum_in_c_goes_up_to_the_last_of_64_bits_and_says_when_it_ends_beyond():
    assert rivals.blocked_sum(2**62 + 1, 2**20, 2**62 - 1) == 2**63 - 1
    with pytest.raises(OverflowError, match="does not fit 64 bits"):
        rivals.blocked_sum(2**62 + 2, 2, 2**62 - 1)


def test_the_hand_off_in_c_adds_every_block_once():
    seconds, total = rivals.hand_off(block_bytes=512, slots=2, blocks=9)

    assert total == sum(range(9 * 64))
    assert seconds > 0


def test_a_cache_line_takes_time_to_come_back():
    assert rivals.ping_pong(trips=50) > 0


def test_the_machine_is_named_with_its_versions():
    line = harness.machine()

    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in line
    assert "NumPy" in line
    assert "cores" in line


def run_bench(*arguments):
    """Run `python -m bench` on the build of the package that is tested here."""
    home = pathlib.Path(fastflow.__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-P", "-m", "bench", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(home), str(FOLDER.parent)])},
        timeout=50,
    )


def test_the_command_runs_the_benchmarks_whose_name_is_given():
    ran = run_bench("--small", "range_to_sum_and_a_generator")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_the_command_refuses_a_name_that_no_benchmark_has():
    ran = run_bench("--small", "no_such_race")

    assert ran.returncode == 2
    assert "no benchmark has 'no_such_race' in its name" in ran.stderr
