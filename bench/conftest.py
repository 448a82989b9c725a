"""The `race` fixture, and the table at the end of a run."""

import pytest

from bench import harness

ROWS = pytest.StashKey()

# The order of the table: from the machine upwards.  A file that is not named comes last.
ORDER = (
    *("native", "hand_off", "callbacks", "query", "objects", "genstage", "chain"),
    *("broadcast", "many", "partition", "latency", "memory"),
)


def pytest_addoption(parser):
    group = parser.getgroup("bench", "benchmarks of fastflow")
    group.addoption(
        "--small", action="store_true", help="run everything once, tiny: compare results only"
    )
    group.addoption("--markdown", action="store_true", help="print the table of ratios as Markdown")


def pytest_configure(config):
    config.stash[ROWS] = []


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.stem.removeprefix("bench_")
        return ORDER.index(name) if name in ORDER else len(ORDER)

    items.sort(key=place)


@pytest.fixture
def race(request):
    """A race in which the benchmark enters our way of doing some work, and the rivals'."""
    if request.config.getoption("--small"):
        return harness.Race()
    # Asked for here, not in the signature: a small run does without pytest-benchmark.
    return harness.Race(request.getfixturevalue("benchmark"), request.config.stash[ROWS])


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash[ROWS]
    if not rows:
        return
    terminalreporter.ensure_newline()
    draw = harness.as_markdown if config.getoption("--markdown") else harness.as_text
    terminalreporter.write_line("")
    for line in draw(rows):
        terminalreporter.write_line(line)
    terminalreporter.write_line("")
    terminalreporter.write_line(harness.machine())
