"""Each example prints what its docstring says."""

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import fastflow

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("[0-9]*.py"))


def promised_output(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    _, marker, output = docstring.partition("\nPrints::\n\n")
    assert marker, f"{path.name}: its docstring has no 'Prints::', expected the output under it"
    return textwrap.dedent(output).rstrip("\n") + "\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_prints_what_its_docstring_says(path):
    # The examples run on the fastflow that is under test, be it a debug build or an installed one.
    environment = os.environ | {"PYTHONPATH": str(Path(fastflow.__file__).parents[1])}

    finished = subprocess.run(
        [sys.executable, path], env=environment, capture_output=True, encoding="utf-8", timeout=50
    )

    assert finished.stderr == ""
    assert finished.returncode == 0
    assert finished.stdout == promised_output(path)


def test_there_are_examples_and_they_are_numbered_from_0_without_a_gap():
    assert [int(path.name[:2]) for path in EXAMPLES] == list(range(len(EXAMPLES)))
    assert len(EXAMPLES) >= 5
