"""The types of the face: the programs in `tests/typing` checked by mypy, strictly.

A line that mypy must refuse ends in `# E: ` and part of what it must say; one whose type it must
reveal ends in `# N: ` and the type.  Every other line must pass, and every marked line must be
refused or revealed.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

import fastflow

pytestmark = pytest.mark.timeout(300)

PROGRAMS = pathlib.Path(__file__).parent / "typing"

MARK = re.compile(r"  # (?P<kind>[EN]): (?P<text>.+)$")
SAID = re.compile(r"^(?P<file>.+\.py):(?P<line>\d+): (?P<kind>error|note): (?P<text>.+)$")


@pytest.fixture(scope="session")
def said(tmp_path_factory):
    """What mypy says about all programs: {(file, line): [(kind, text)]}."""
    cache = tmp_path_factory.mktemp("mypy")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}"),
            *("--no-error-summary", "--hide-error-context", "--show-error-codes", "--no-pretty"),
            *sorted(str(path) for path in PROGRAMS.glob("*.py")),
        ],
        env={**os.environ, "MYPYPATH": str(pathlib.Path(fastflow.__file__).parents[1])},
        cwd=cache,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = {}
    for line in done.stdout.splitlines():
        match = SAID.match(line)
        assert match, f"mypy said {line!r}"
        place = pathlib.Path(match["file"]).name, int(match["line"])
        found.setdefault(place, []).append((match["kind"][0].upper(), match["text"]))
    return found


@pytest.mark.parametrize("program", sorted(path.name for path in PROGRAMS.glob("*.py")))
def test_mypy_accepts_and_refuses_what_it_should(program, said):
    wrong = []
    for number, line in enumerate((PROGRAMS / program).read_text().splitlines(), 1):
        mark = MARK.search(line)
        here = said.get((program, number), [])
        if mark is None:
            wrong += [f"line {number}: {text}" for kind, text in here if kind == "E"]
        elif not any(kind == mark["kind"] and mark["text"] in text for kind, text in here):
            wrong.append(f"line {number}: got {here}, expected {mark['text']!r}")

    assert wrong == []
