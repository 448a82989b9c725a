"""`cimport fastflow._core` from another package compiles, and works on this process's rings."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastflow
from fastflow import _core

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def downstream(tmp_path_factory):
    """The package in this folder, built in another one as its author would, and imported."""
    folder = tmp_path_factory.mktemp("downstream")
    for name in ("setup.py", "downstream.pyx"):
        shutil.copy(HERE / name, folder)
    # Against the build under test, whichever that is: it need not be the installed one.
    paths = [str(Path(fastflow.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("downstream.*.so")
    spec = importlib.util.spec_from_file_location("downstream", built)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(180)                   # most of it is the compiler's
def test_downstream_package_writes_and_reads_a_ring(downstream):
    ring = _core.Ring(8, 100)
    writer, reader = ring.writer(), ring.reader()
    reader.ask(100)

    assert downstream.write_squares(writer, 40) == 40
    assert (ring.sent, ring.acked) == (40, 0)
    assert downstream.read_sum(reader) == (40, sum(i * i for i in range(40)))
    assert (ring.sent, ring.acked) == (40, 40)


@pytest.mark.timeout(180)
def test_downstream_package_is_held_to_the_demand(downstream):
    ring = _core.Ring(8, 100)
    writer, reader = ring.writer(), ring.reader()
    reader.ask(30)

    assert downstream.write_squares(writer, 40) == 30
    assert downstream.write_squares(writer, 40) == 0
    assert downstream.read_sum(reader) == (30, sum(i * i for i in range(30)))
    assert downstream.read_sum(reader) == (0, 0)
