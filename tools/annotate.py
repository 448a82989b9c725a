"""Fails on a line of Python in the hot path of a native module.

    python tools/annotate.py [FILE.pyx ...]          without a file: each fastflow/*.pyx

Cython's annotated HTML gives each line a score: 0 (white) when the C written for it never calls
Python, and the more yellow the higher it is.  In a .pyx the comment

    # -- hot path: no Python object is touched from here on --

promises score 0 from there on, as far as

    # -- end of the hot path --

or else to the end of the block that it stands in (of the class, when it is indented as the methods
are), or of the file.  The compiler holds nobody to that: a ``raise``, an ``assert``, a division
that checks its divisor or a ``with gil`` compiles below it without a word.  So the report is read
here, for the options of a release build, and every line with a score is named.

Two more things are failures: a file without the comment, since a promise that was lost can't be
kept (a file that has nothing to promise says ``# -- no hot path here: WHY --``), and Cython's hint,
wherever it is given, that the exception of a call without the GIL is checked with the GIL.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARKER = "# -- hot path: no Python object is touched from here on --"
END = "# -- end of the hot path --"

_NOTHING_HOT = re.compile(r"^# -- no hot path here: .+ --$", re.MULTILINE)
_SCORED = re.compile(
    r'<pre class="cython line score-(\d+)".*?<span class="">(\d+)</span>', re.DOTALL
)
_HINT = re.compile(r"^.*Exception check .*GIL.*$", re.MULTILINE)


def directives():
    """Return the options that a release build gives to Cython, as its command line spells them."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        table = tomllib.load(file)["tool"]["fastflow"]["cython-directives"]
    return [f"--directive={name}={value}" for name, value in table.items()]


def hot_lines(source):
    """Return the numbers of the lines of `source`, from 1, that a marker covers, as a set.

    None when `source` has no marker and does not say why either.
    """
    lines = source.splitlines()
    starts = [number for number, line in enumerate(lines, 1) if line.strip() == MARKER]
    if not starts:
        return set() if _NOTHING_HOT.search(source) else None
    hot = set()
    for start in starts:
        indent = _indent(lines[start - 1])
        for number, line in enumerate(lines[start:], start + 1):
            text = line.strip()
            # A comment may stand at any margin without ending a block.
            if text == END or (text and not text.startswith("#") and _indent(line) < indent):
                break
            hot.add(number)
    return hot


def _indent(line):
    return len(line) - len(line.lstrip())


def scores(html):
    """Return {line number: score} of a page that Cython's ``--annotate`` wrote."""
    return {int(number): int(score) for score, number in _SCORED.findall(html)}


def complaints(path):
    """Compile the .pyx at `path` with its report; return what is wrong, one line of text each."""
    source = path.read_text()
    hot = hot_lines(source)
    if hot is None:
        return [
            f"{path}: got no line {MARKER!r}, expected one; put it above what runs once a batch, "
            "or say '# -- no hot path here: WHY --'"
        ]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, path.stem + ".c")
        done = subprocess.run(
            [
                sys.executable, "-m", "cython", "--annotate", *directives(),
                "--output-file", str(out), str(path),
            ],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            said = done.stdout + done.stderr
            return [f"{path}: Cython ended with {done.returncode}:\n{said}"]
        scored = scores(out.with_suffix(".html").read_text())
    if not scored.keys() >= hot:
        return [
            f"{path}:{min(hot - scored.keys())}: not in Cython's report, expected every line; "
            "its format has changed: make _SCORED in tools/annotate.py follow it"
        ]
    lines = source.splitlines()
    yellow = [
        f"{path}:{number}: calls Python (score {scored[number]}) in the hot path: "
        + lines[number - 1].strip()
        for number in sorted(hot)
        if scored[number]
    ]
    return yellow + _HINT.findall(done.stdout + done.stderr)


def main(arguments):
    """Print what is wrong with the files named, or with all; return 1 if anything is, else 0."""
    files = [Path(name).resolve() for name in arguments]
    files = files or sorted((ROOT / "fastflow").glob("*.pyx"))
    found = [line for file in files for line in complaints(file)]
    for line in found:
        print(line)
    print(f"{len(files)} native modules, {len(found)} complaints")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
