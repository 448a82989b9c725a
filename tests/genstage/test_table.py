"""docs/genstage.md has every behaviour once, and says truly by which tests it is shown.

    python tests/genstage/test_table.py        # writes the column of tests from their docstrings

The docstring of a test in this folder begins with the numbers of what it shows: "GenStage 44. ...".
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "genstage.md"
NUMBERS = range(1, 183)
SHOWN = 2  # tests that a row names; of more it says how many

ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (.*?) ?\|$", re.MULTILINE)
SAYS = re.compile(r"GenStage (\d+(?:(?:,| and) \d+)*)")



@functools.cache
def rows():
    """List (number, behaviour, verdict, tests) of the page."""
    return [(int(row[1]), *row.groups()[1:]) for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


@functools.cache
def numbers_by_test():
    """{name: numbers in its docstring}, file by file, in the order in which they stand there."""
    found = {}
    for file in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                said = SAYS.match(ast.get_docstring(node) or "")
                assert node.name not in found, f"two tests are called {node.name}; rename the one in {file.name}"
                found[node.name] = [int(number) for number in re.findall(r"\d+", said[1])] if said else []
    return found


def cell(number, said):
    """The column of tests in the row of `number`."""
    names = [f"`{name}`" for name, numbers in said.items() if number in numbers]
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def fill():
    """Write the column of tests."""
    said = numbers_by_test()
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        ROW.sub(lambda row: f"| {row[1]} | {row[2]} | {row[3]} | {cell(int(row[1]), said)} |", text), encoding="utf-8"
    )


def test_every_behaviour_stands_in_the_table_once_and_in_order():
    assert [number for number, *_ in rows()] == list(NUMBERS)


def test_every_verdict_is_one_of_three_and_says_how_or_why():
    for number, _, verdict, _ in rows():
        assert re.match(r"the same$|the same: .|better: .|not applicable: .", verdict), (number, verdict)


def test_the_column_of_tests_is_what_their_docstrings_say():
    said = numbers_by_test()

    wrong = [number for number, _, _, column in rows() if column != cell(number, said)]

    assert not wrong, f"rows {wrong}: other tests than their docstrings say; run python {Path(__file__).name}"


def test_every_number_in_a_docstring_stands_in_the_table():
    unknown = {name: numbers for name, numbers in numbers_by_test().items() if not set(numbers) <= set(NUMBERS)}

    assert not unknown


@pytest.mark.parametrize("number", NUMBERS)
def test_every_behaviour_that_applies_has_a_test(number):
    verdict = next(verdict for found, _, verdict, _ in rows() if found == number)

    assert verdict.startswith("not applicable") or cell(number, numbers_by_test())


if __name__ == "__main__":
    fill()
