"""What `import fastflow` does: nothing, quickly; and which names there are, and which are not yet.

The imports are done in interpreters of their own, since this one has long imported everything.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import fastflow as ff

pytestmark = pytest.mark.timeout(60)

PUBLIC = [
    "run", "stream", "step", "Producer", "ProducerConsumer", "Consumer", "Runtime", "Ref",
    "Subscription", "Batch", "Range", "Sum", "Count", "Min", "Max", "fill_range",
    "FromIterable", "Map", "Filter", "ForEach", "Collect", "Batcher", "Throttle", "Retry",
    "LATER", "FastflowError", "OptionError", "SchemaError", "DemandError", "StateError",
    "GraphError", "NameTaken", "CallbackError", "NotDriven", "Closed", "Stalled", "WaitTimeout",
    "MissingExtra", "GaveUp", "ConsumerSupervisor", "testing", "get_include", "__version__",
]

LATER = [
    "map", "Supervisor", "child", "Table", "flow", "Flow", "isolate", "workers",
]


def python(text, *options, env=None):
    """Run `text` in an interpreter of its own; returns what it printed as JSON, or None."""
    done = subprocess.run(
        [sys.executable, *options, "-c", text],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout) if done.stdout else None


# -- names --


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name):
    assert hasattr(ff, name)


@pytest.mark.parametrize("name", LATER)
def test_what_comes_later_is_an_unknown_name_and_no_stub(name):
    assert not hasattr(ff, name)


def test_all_names_what_there_is():
    assert len(set(ff.__all__)) == len(ff.__all__)
    assert [name for name in ff.__all__ if not hasattr(ff, name)] == []
    assert {name for name in PUBLIC if name not in ff.__all__} <= {"testing", "__version__"}


def test_a_star_import_brings_what_all_names():
    assert python(
        "import json\n"
        "from fastflow import *\n"
        "import fastflow\n"
        "print(json.dumps([name for name in fastflow.__all__ if name not in globals()]))"
    ) == []


def test_all_that_is_public_has_a_docstring():
    missing = [
        name
        for name in ff.__all__
        if not (name.startswith("__") or name == "LATER" or getattr(ff, name).__doc__)
    ]

    assert missing == []


def test_the_version_is_one():
    parts = ff.__version__.split(".")

    assert len(parts) >= 2
    assert parts[0].isdigit()


def test_get_include_holds_what_a_downstream_cimport_needs():
    include = pathlib.Path(ff.get_include())

    package = include if (include / "_core.pxd").exists() else include / "fastflow"
    assert (package / "_core.pxd").is_file()
    assert (package / "_atomics.h").is_file()


def test_the_package_says_that_it_is_typed():
    package = pathlib.Path(ff.__file__).parent

    assert (package / "py.typed").is_file()
    assert (package / "_core.pyi").is_file()


@pytest.mark.parametrize("option", ["workers", "ordered", "timeout", "on_error"])
def test_a_step_takes_no_option_of_later(option):
    with pytest.raises(TypeError, match=option):
        ff.step(lambda batch: batch, **{option: 2})


# -- what an import does --


def test_an_import_starts_nothing():
    before, after = python(
        """
import atexit, json, os, signal, sys, threading
import numpy                                # what NumPy starts is not ours


def look():
    return {
        "threads": threading.active_count(),
        "tasks": len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0,
        "files": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
        "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "exit": atexit._ncallbacks(),
        "hooks": [str(hook) for hook in (sys.excepthook, sys.unraisablehook, threading.excepthook)],
        "trace": str(sys.gettrace()) + str(sys.getprofile()),
        "interval": sys.getswitchinterval(),
        "recursion": sys.getrecursionlimit(),
        "floating": numpy.geterr(),
        "environment": sorted(os.environ.items()),
    }


before = look()
import fastflow
print(json.dumps([before, look()]))
"""
    )

    # Importing logging, which nearly every program does, registers one function at exit.
    assert after.pop("exit") - before.pop("exit") <= 1
    assert after == before


def test_an_import_registers_nothing_at_exit_of_its_own():
    assert (
        python(
            "import atexit, json, logging, weakref, concurrent.futures, tempfile, numpy\n"
            "before = atexit._ncallbacks()\n"
            "import fastflow\n"
            "print(json.dumps(atexit._ncallbacks() - before))"
        )
        == 0
    )


def test_an_import_is_quick(tmp_path):
    # With byte code, as pip leaves it: the first import here writes it.  And in seconds of the
    # processor, which are the same beside busy neighbours.
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds = min(
        python(
            "import json, time, numpy\n"
            "began = time.process_time()\n"
            "import fastflow\n"
            "print(json.dumps(time.process_time() - began))",
            env=env,
        )
        for _ in range(7)
    )

    assert seconds < 0.05


def test_an_import_brings_no_library_beside_numpy():
    loaded = python(
        "import json, sys, fastflow\n"
        "heavy = 'pandas polars pyarrow duckdb hypothesis pytest'\n"
        "print(json.dumps([name for name in heavy.split() if name in sys.modules]))"
    )

    assert loaded == []


def test_an_import_draws_no_warning():
    python("import fastflow", "-W", "error")


def test_an_import_without_optimised_docstrings_works():
    python("import fastflow", "-OO")


def test_the_logger_is_silent_until_somebody_listens():
    handlers = python(
        "import json, logging, fastflow\n"
        "logging.getLogger('fastflow').warning('nobody listens')\n"
        "print(json.dumps([type(h).__name__ for h in logging.getLogger('fastflow').handlers]))"
    )

    assert handlers == ["NullHandler"]


def test_an_import_in_a_thread_works_like_any_other():
    total = python(
        "import json, threading\n"
        "results = []\n"
        "def work():\n"
        "    import fastflow as ff\n"
        "    results.append(ff.run(ff.Range(10), ff.Sum()))\n"
        "thread = threading.Thread(target=work)\n"
        "thread.start()\n"
        "thread.join(30)\n"
        "print(json.dumps(results))"
    )

    assert total == [45]
