"""The documentation runs: each program in it prints what it is said to print.

How README.md and the pages in docs/ are read:

    ```python     a program; those of one page share a namespace, in order
    ```text       directly behind a program: exactly what it prints; elsewhere it is a picture
    ```pycon      a doctest; those of one page share a namespace

A program with nothing behind it prints nothing.
"""

import doctest
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastflow

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

# As a reader would run it: in a process of its own, not inside of pytest.
RUNNER = r"""
import json, sys
namespace = {"__name__": "__main__"}
for line, code in json.loads(sys.argv[1]):
    print(f"\x1e{line}", flush=True)
    exec(compile("\n" * line + code, sys.argv[2], "exec"), namespace)
"""

pytestmark = pytest.mark.timeout(180)


def fences(page):
    """List (line, language, content, directly behind the one before) of the blocks of a page."""
    text, end, found = page.read_text(encoding="utf-8"), 0, []
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start()) + 1
        behind = bool(found) and not text[end : fence.start()].strip()
        found.append((line, fence[1], fence[2], behind))
        end = fence.end()
    return found


def programs(page):
    """List [line, code, what it is said to print] of the programs of a page."""
    found, before = [], ""
    for line, language, content, behind in fences(page):
        if language == "python":
            found.append([line, content, ""])
        elif language == "text" and behind and before == "python":
            found[-1][2] = content
        before = language
    return found


def name_of(page):
    return str(page.relative_to(ROOT))


def links(page):
    """List (target, anchor) of the links of a page to other pages and to itself."""
    found = LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    parts = [link.partition("#") for link in found if "://" not in link]
    return [(page.parent / path if path else page, anchor) for path, _, anchor in parts]


def anchors(page):
    """Return the anchors that the headings of a page give it on GitHub."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def having(what):
    """Pages with a block in that language."""
    return [page for page in PAGES if any(what == language for _, language, _, _ in fences(page))]


@pytest.mark.parametrize("page", having("python"), ids=name_of)
def test_programs_of_a_page_print_what_stands_behind_them(page, tmp_path):
    wanted = programs(page)
    given = json.dumps([(line, code) for line, code, _ in wanted])

    finished = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", RUNNER, given, str(page)],
        env=os.environ | {"PYTHONPATH": str(Path(fastflow.__file__).parents[1])},
        cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=170, check=False,
    )

    assert finished.stderr == ""
    assert finished.returncode == 0
    _, *printed = finished.stdout.split("\x1e")
    got = {int(line): rest for line, _, rest in (part.partition("\n") for part in printed)}
    assert got == {line: output for line, _, output in wanted}


@pytest.mark.parametrize("page", having("pycon"), ids=name_of)
def test_sessions_of_a_page_show_what_the_interpreter_shows(page):
    runner = doctest.DocTestRunner(verbose=False)
    parser = doctest.DocTestParser()
    report, namespace = [], {"__name__": "__main__"}
    for line, language, content, _ in fences(page):
        if language == "pycon":
            test = parser.get_doctest(content, namespace, name_of(page), str(page), line)
            runner.run(test, out=report.append, clear_globs=False)
            namespace = test.globs

    assert "".join(report) == ""
    assert runner.summarize(verbose=False).attempted > 0


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_say_what_they_are(page):
    # A block in no language, or in a misspelled one, would be tested by nobody.
    known = {"python", "pycon", "text", "sh", "cython", "c"}

    assert {language for _, language, _, _ in fences(page)} <= known
    assert page.read_text(encoding="utf-8").count("\n```") % 2 == 0


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_pages_lead_somewhere(page):
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target}: no heading for #{anchor}"


def test_every_page_is_on_the_map():
    index = ROOT / "docs" / "index.md"
    mapped = {target.resolve() for target, _ in links(index)}

    assert {page.resolve() for page in PAGES if page not in (README, index)} <= mapped


def test_the_readme_shows_each_door_of_the_library():
    code = "".join(code for _, code, _ in programs(README))

    assert all(word in code for word in ("ff.run(", "ff.stream(", "ff.Runtime()", "ff.Batch("))


def test_the_readme_has_a_place_for_the_benchmarks():
    text = README.read_text(encoding="utf-8")

    assert text.index("<!-- benchmarks -->") < text.index("<!-- /benchmarks -->")
