"""tools/annotate.py: a line of Python in the hot path is found, and nothing else is.

Small .pyx files are planted in a folder of their own: in the real ones there should be nothing.
"""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "annotate.py"

WHITE = """\
cdef class Ring:
    cdef long sent

    def publish(self, n):
        return self.push(n)

    # -- hot path: no Python object is touched from here on --

    cdef long push(self, long n) noexcept nogil:
        self.sent += n
        return self.sent
"""


@pytest.fixture
def annotate(tmp_path):
    """Return a function that runs the tool on a source text: (exit status, what it printed)."""

    def run(source):
        (tmp_path / "planted.pyx").write_text(source)
        done = subprocess.run(
            [sys.executable, str(TOOL), str(tmp_path / "planted.pyx")],
            capture_output=True, text=True, check=False,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    return run


def test_hot_path_without_python_passes(annotate):
    status, said = annotate(WHITE)

    assert (status, said) == (0, "1 native modules, 0 complaints\n")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("raise ValueError(n)", "an exception is an object"),
        ("assert n > 0", "so is the one of an assertion"),
        ("n = 7 // n", "a divisor of 0 raises"),
        ("with gil: self.note(n)", "the GIL is what the hot path does without"),
    ],
)
def test_line_of_python_below_the_marker_is_named(annotate, line, why):
    note = "\n    cdef void note(self, long n) noexcept nogil: pass\n"

    status, said = annotate(WHITE.replace("self.sent += n\n", f"{line}\n") + note)

    assert status == 1, why
    assert "planted.pyx:10: calls Python" in said
    assert line in said
    assert "planted.pyx:11:" not in said


def test_marker_covers_the_block_it_stands_in(annotate):
    after = "# a comment at the margin ends no block\n\ndef total(rings):\n    return sum(rings)\n"
    at_margin = "# -- hot path: no Python object is touched from here on --\n"

    assert annotate(WHITE + after)[0] == 0
    status, said = annotate(at_margin + WHITE + after)
    assert status == 1
    assert "planted.pyx:16: calls Python" in said


def test_hot_path_may_end_before_the_block_does(annotate):
    python = "    def pull(self):\n        return str(self.sent)\n"

    assert annotate(f"{WHITE}\n{python}")[0] == 1
    assert annotate(f"{WHITE}\n    # -- end of the hot path --\n\n{python}")[0] == 0


def test_exception_check_that_takes_the_gil_is_named(annotate):
    risky = "    cdef long risky(self) except * nogil:\n        return 1\n\n"
    source = WHITE.replace("    # -- hot", risky + "    # -- hot")

    status, said = annotate(source.replace("self.sent += n\n", "self.sent += self.risky()\n"))

    assert status == 1
    assert "Exception check after calling 'risky' will always require the GIL" in said


def test_file_that_lost_its_marker_is_named(annotate):
    status, said = annotate(WHITE.replace("    # -- hot path", "    # the hot path"))

    assert status == 1
    assert "got no line '# -- hot path: no Python object is touched from here on --'" in said


def test_file_may_say_why_it_has_no_hot_path(annotate):
    said_so = (
        "# -- no hot path here: a view is a Python object --\n\n"
        "def view(ring):\n    return ring.view()\n"
    )

    assert annotate(said_so) == (0, "1 native modules, 0 complaints\n")
    assert annotate(said_so.replace(": a view is a Python object", ""))[0] == 1


def test_file_that_does_not_compile_is_named_with_the_reason(annotate):
    status, said = annotate(WHITE.replace("cdef long sent", "cdef lang sent"))

    assert status == 1
    assert "Cython ended with 1" in said
    assert "'lang' is not a type identifier" in said
