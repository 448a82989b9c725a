"""The rooms of the package: who may import whom, and how long a file may get.

    floor  room
      8    cli
      7    cluster
      6    pipeline   flow   testing
      5    supervisor
      4    runtime    native  ready  io
      3    stage
      2    dispatch   table
      1    schema
      0    errors     telemetry   _core

A room may import what the table below gives it, and nothing else: every arrow points down.  A room
without a file yet holds its place.  An import counts wherever it stands, in a function or for type
checkers only too: what a room knows the name of, it knows.
"""

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "fastflow"

FLOORS = {
    "errors": 0, "telemetry": 0, "_core": 0,
    "schema": 1,
    "dispatch": 2, "table": 2,
    "stage": 3,
    "runtime": 4, "native": 4, "ready": 4, "io": 4,
    "supervisor": 5,
    "pipeline": 6, "flow": 6, "testing": 6,
    "cluster": 7,
    "cli": 8,
}  # fmt: skip


def up_to(floor):
    """Return the rooms on `floor` and below."""
    return {room for room, its in FLOORS.items() if its <= floor}


MAY_IMPORT = {
    "errors": set(),
    "telemetry": set(),
    "_core": {"errors"},
    "schema": {"errors"},
    "dispatch": {"_core", "schema", "errors"},
    "table": {"_core", "schema", "errors", "telemetry"},
    "stage": {"_core", "schema", "dispatch", "errors", "telemetry"},
    "runtime": up_to(3),
    "native": {"_core", "stage", "schema", "errors"},
    "ready": {"stage", "schema", "errors", "telemetry"},
    "io": {"stage", "schema", "errors", "telemetry"},
    "supervisor": up_to(4),
    "pipeline": up_to(5),
    "flow": up_to(5),
    "testing": up_to(5),
    "cluster": up_to(6),
    "cli": up_to(7),
}

# The package itself has the doors to the rooms: it may import any, and no room may come in by it.
DOORS = "fastflow"

LINES = 800
SUFFIXES = (".py", ".pyi", ".pyx", ".pxd")


def room_of(path):
    """Return the room that the file at `path`, below fastflow/, belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    if first == "__init__.py":
        return DOORS
    if first == "__main__.py":
        return "cli"
    name = first.partition(".")[0]
    if any((PACKAGE / f"{name}{ending}").exists() for ending in (".pyx", ".pxd")):
        return "_core"                      # all that is native, in however many files
    return name


def sources():
    """Return the files of the package that can import something."""
    return sorted(path for path in PACKAGE.rglob("*") if path.suffix in SUFFIXES)


def imports(text, module):
    """Return the modules of fastflow that `text`, the source of `module`, imports, in full.

    ``from . import a`` and ``from fastflow import a`` give fastflow.a as well as fastflow: whether
    `a` is a room or a name behind the doors is for the caller to see.
    """
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError:
        nodes = list(ast.walk(ast.parse(_as_python(text))))
    package = module if module == DOORS else module.rpartition(".")[0]
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            above = above[: len(above) - node.level + 1] if node.level else []
            base = ".".join([*above, node.module] if node.module else above)
            found.append(base)
            if base == DOORS:
                found += [f"{base}.{alias.name}" for alias in node.names]
    return [name for name in found if name.split(".")[0] == DOORS]


_DOCSTRING = re.compile(r'"""(?:.|\n)*?"""')
_CYTHON_IMPORT = re.compile(
    r"""^[ \t]* (?:
          from [ \t]+ (?P<base>[.\w]+) [ \t]+ c?import [ \t]+
              (?P<names> \([^)]*\) | (?:.*\\\n)*.* )
        | c?import [ \t]+ (?P<modules>.*)
        )$""",
    re.MULTILINE | re.VERBOSE,
)


def _as_python(text):
    """Return the imports and cimports of a Cython source as Python, which the rest of it is not."""
    lines = []
    for found in _CYTHON_IMPORT.finditer(_DOCSTRING.sub("", text)):
        if found["base"]:
            lines.append(f"from {found['base']} import {found['names']}")
        else:
            lines.append(f"import {found['modules']}")
    return "\n".join(lines)


def arrows():
    """Return {(room, imported room): "file imports module"} of the whole package, DOORS too."""
    found = {}
    for path in sources():
        room, file = room_of(path), path.relative_to(PROJECT)
        # A folder's __init__ is inside of the folder: its "." is that of the other files there.
        module = DOORS if room == DOORS else ".".join(file.with_suffix("").parts)
        for name in imports(path.read_text(), module):
            target = _target(name)
            if target is not None and target != room:
                found.setdefault((room, target), f"{file} imports {name}")
    return found


def _target(name):
    """Return the room that the module `name` belongs to.

    None for fastflow itself: ``from fastflow import x`` is told by its other half, fastflow.x.
    """
    parts = name.split(".")
    if len(parts) == 1:
        return None
    for ending in ("", *SUFFIXES):
        if (PACKAGE / f"{parts[1]}{ending}").exists():
            return room_of(PACKAGE / f"{parts[1]}{ending}")
    return DOORS                            # fastflow.Batch: a name that only __init__ has


def test_every_file_belongs_to_a_room():
    strangers = [path for path in sources() if room_of(path) not in {*FLOORS, DOORS}]

    assert strangers == []


def test_every_arrow_points_down():
    not_down = [
        (room, target)
        for room, targets in MAY_IMPORT.items()
        for target in targets
        if FLOORS[target] >= FLOORS[room]
    ]

    assert not_down == [("_core", "errors")]    # along the ground floor: a ring raises errors too


def test_rooms_import_only_what_the_table_lets_them():
    against = [
        f"{how}; {room} may import {', '.join(sorted(MAY_IMPORT[room])) or 'no room'}"
        for (room, target), how in arrows().items()
        if room != DOORS and target not in MAY_IMPORT.get(room, set())
    ]

    assert against == []


def test_rooms_import_one_another_in_no_circle():
    left = {room: {target for origin, target in arrows() if origin == room} for room, _ in arrows()}

    while ends := [room for room, targets in left.items() if not targets & left.keys()]:
        for room in ends:
            del left[room]

    assert left == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import numpy\nfrom os import path\n", []),
        ("import fastflow.schema\n", ["fastflow.schema"]),
        ("def f():\n    from fastflow.errors import Closed\n", ["fastflow.errors"]),
        ("from .errors import Closed\n", ["fastflow.errors"]),
        ("from . import schema, errors\n", ["fastflow", "fastflow.schema", "fastflow.errors"]),
        ("from fastflow import Batch\n", ["fastflow", "fastflow.Batch"]),
        ("from fastflow._core cimport (\n    Ring,\n    ask)\ncdef int x\n", ["fastflow._core"]),
        ("from ._core cimport Ring, \\\n    Pool\ncdef int x = 1\n", ["fastflow._core"]),
        ("cdef int x\nfrom . cimport _core  # the ring\n", ["fastflow", "fastflow._core"]),
        ("cdef int f():\n    import fastflow.errors as e\n    return 1\n", ["fastflow.errors"]),
    ],
)  # fmt: skip
def test_imports_are_seen_in_python_and_cython(text, expected):
    assert imports(text, "fastflow.here") == expected


def test_imports_out_of_a_room_that_is_a_folder_are_seen():
    text = "from ..errors import Closed\nfrom .mail import Box\n"

    assert imports(text, "fastflow.runtime.loop") == ["fastflow.errors", "fastflow.runtime.mail"]


def test_no_module_outgrows_its_file():
    lengths = {
        str(path.relative_to(PROJECT)): len(path.read_text().splitlines())
        for folder in ("fastflow", "tests", "bench", "examples", "tools")
        for path in (PROJECT / folder).rglob("*")
        if path.suffix in (*SUFFIXES, ".h", ".c")
    }

    assert {file: length for file, length in lengths.items() if length >= LINES} == {}
