"""The command line: `fastflow run`, `bench` and `--version`, each in a process of its own."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

import fastflow as ff

pytestmark = pytest.mark.timeout(60)

STAGES = '''
import fastflow as ff


class Announce(ff.Consumer):
    """Prints its total when its sources have ended."""

    def __init__(self):
        self.total = 0

    def handle_events(self, events, source):
        self.total += int(events.sum())

    def handle_end(self):
        print("total", self.total, flush=True)

    def result(self):
        return self.total


def connected(stop=1000):
    rt = ff.Runtime()
    source = rt.start(ff.Range(stop), name="numbers")
    rt.start(Announce(), subscribe_to=[source], name="announce")
    return rt


def listed():
    return [ff.Range(1000), lambda batch: batch * 2, Announce()]


def finished():
    return ff.run(ff.Range(1000), ff.Sum())


def fails():
    return [ff.Range(1000), lambda batch: batch.undefined, Announce()]


pipeline = connected()
number = 5
'''


@pytest.fixture
def folder(tmp_path):
    """A directory with a script that runs at once and a module whose names can be run."""
    (tmp_path / "stages.py").write_text(STAGES)
    (tmp_path / "script.py").write_text(
        textwrap.dedent(
            """
            import sys
            import fastflow as ff

            if __name__ == "__main__":
                print("sum", ff.run(ff.Range(1000), ff.Sum()))
                print("arguments", sys.argv[1:])
            """
        )
    )
    return tmp_path


def environment(folder):
    """The environment of a process that finds what is in `folder`, and this fastflow."""
    ours = str(pathlib.Path(ff.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), ours]), "COLUMNS": "200"}


def fastflow(*arguments, folder, module="fastflow"):
    """Run the command line in `folder`; returns (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


# -- the face --


@pytest.mark.parametrize("module", ["fastflow", "fastflow.cli"])
def test_version_says_name_and_version(module, folder):
    code, out, err = fastflow("--version", folder=folder, module=module)

    assert (code, err) == (0, "")
    assert out == f"fastflow {ff.__version__}\n"


def test_help_names_the_commands(folder):
    code, out, err = fastflow("--help", folder=folder)

    assert (code, err) == (0, "")
    for word in ("run", "bench", "--version"):
        assert word in out


@pytest.mark.parametrize("command", ["run", "bench"])
def test_each_command_has_a_help_of_its_own(command, folder):
    code, out, err = fastflow(command, "--help", folder=folder)

    assert (code, err) == (0, "")
    assert command in out


@pytest.mark.parametrize(
    "arguments", [["rnu"], ["--verison"], ["run"], ["run", "a.py", "--no-such"]], ids=" ".join
)
def test_a_command_line_that_cannot_be_is_a_usage_error(arguments, folder):
    code, _, err = fastflow(*arguments, folder=folder)

    assert code == 2
    assert "usage" in err.lower()
    assert "Traceback" not in err


def test_no_command_at_all_shows_the_usage(folder):
    code, out, err = fastflow(folder=folder)

    assert code in (0, 2)
    assert "usage" in (out + err).lower()


# -- run: a file --


def test_run_executes_a_file_as_the_main_script(folder):
    code, out, err = fastflow("run", "script.py", folder=folder)

    assert (code, err) == (0, "")
    assert "sum 499500" in out


def test_run_takes_a_path_from_anywhere(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    code, out, err = fastflow("run", str(folder / "script.py"), folder=elsewhere)

    assert (code, err) == (0, "")
    assert "sum 499500" in out


def test_a_script_imports_what_lies_beside_it(folder, tmp_path_factory):
    (folder / "beside.py").write_text("from stages import finished\nprint('sum', finished())\n")

    code, out, err = fastflow(
        "run", str(folder / "beside.py"), folder=tmp_path_factory.mktemp("elsewhere")
    )

    assert (code, err) == (0, "")
    assert "sum 499500" in out


def test_a_script_that_raises_shows_its_own_traceback_and_exits_with_1(folder):
    (folder / "raises.py").write_text("def f():\n    raise LookupError('of the script')\n\nf()\n")

    code, _, err = fastflow("run", "raises.py", folder=folder)

    assert code == 1
    assert err.rstrip().endswith("LookupError: of the script")
    assert 'raises.py", line 2' in err
    assert err.count("Traceback") == 1


def test_the_exit_code_of_a_script_is_that_of_the_command(folder):
    (folder / "exits.py").write_text("import sys\nsys.exit(7)\n")

    assert fastflow("run", "exits.py", folder=folder)[0] == 7


def test_a_script_with_a_syntax_error_names_its_line(folder):
    (folder / "wrong.py").write_text("import fastflow\nthis goes wrong\n")

    code, _, err = fastflow("run", "wrong.py", folder=folder)

    assert code == 1
    assert "SyntaxError" in err
    assert "wrong.py" in err
    assert "line 2" in err


# -- run: a name in a file or a module --


@pytest.mark.parametrize("where", ["stages.py", "stages"])
@pytest.mark.parametrize(
    ("name", "total"),
    [
        pytest.param("pipeline", "499500", id="a runtime"),
        pytest.param("connected", "499500", id="a function that returns a runtime"),
        pytest.param("listed", "999000", id="a function that returns stages"),
    ],
)
def test_run_takes_a_runtime_or_what_makes_one(where, name, total, folder):
    code, out, err = fastflow("run", f"{where}:{name}", folder=folder)

    assert (code, err) == (0, "")
    assert f"total {total}" in out


@pytest.mark.parametrize("where", ["stages.py", "stages"])
def test_run_takes_a_function_that_runs_by_itself(where, folder):
    code, _, err = fastflow("run", f"{where}:finished", folder=folder)

    assert (code, err) == (0, "")


def test_run_takes_a_module_of_a_package(folder):
    package = folder / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text(STAGES)

    code, out, err = fastflow("run", "package.inner:listed", folder=folder)

    assert (code, err) == (0, "")
    assert "total 999000" in out


def test_run_executes_a_module_as_the_main_script(folder):
    package = folder / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("from . import beside\nprint(__name__, beside.number)\n")
    (package / "beside.py").write_text("number = 5\n")

    assert fastflow("run", "package.inner", folder=folder) == (0, "__main__ 5\n", "")


def test_a_package_that_can_not_be_run_is_named(folder):
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")

    code, _, err = fastflow("run", "package", folder=folder)

    assert code == 2
    assert "package:NAME" in err
    assert "Traceback" not in err


def test_what_named_stages_and_functions_come_to_is_printed(folder):
    _, of_a_runtime, _ = fastflow("run", "stages.py:connected", folder=folder)
    _, of_a_function, _ = fastflow("run", "stages.py:finished", folder=folder)

    assert "announce: 499500" in of_a_runtime
    assert of_a_function == "499500\n"


def test_a_file_of_which_a_name_is_taken_is_not_the_main_script(folder):
    script = folder / "both.py"
    script.write_text(STAGES + "\nif __name__ == '__main__':\n    print('as main')\n")

    code, out, _ = fastflow("run", "both.py:listed", folder=folder)

    assert code == 0
    assert "as main" not in out
    assert "total 999000" in out


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nothing.py", ["nothing.py"]),
        ("nothing.py:pipeline", ["nothing.py"]),
        ("no_such_module:pipeline", ["no_such_module"]),
        ("stages.py:pipelime", ["pipelime", "pipeline"]),
        ("stages:pipelime", ["pipelime", "pipeline"]),
        ("stages.py:number", ["number", "5"]),
        ("stages.py:Announce", ["Announce"]),
        ("stages.py:", ["stages.py"]),
        (":pipeline", ["pipeline"]),
        (".", ["."]),
    ],
)
def test_a_target_that_is_not_there_is_named_without_a_traceback(target, words, folder):
    code, _, err = fastflow("run", target, folder=folder)

    assert code == 2
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_a_pipeline_that_fails_shows_the_users_error_and_exits_with_1(folder):
    code, out, err = fastflow("run", "stages.py:fails", folder=folder)

    assert code == 1
    assert "AttributeError" in err
    assert "undefined" in err
    assert "stages.py" in err
    assert "total" not in out


def test_a_module_that_fails_to_import_something_shows_what(folder):
    (folder / "needs.py").write_text("import a_library_that_is_not_there\n")

    code, _, err = fastflow("run", "needs:pipeline", folder=folder)

    assert code != 0
    assert "a_library_that_is_not_there" in err


# -- run: Ctrl-C and SIGTERM --


ENDLESS = '''
import threading
import fastflow as ff


class Slow(ff.Consumer):
    """Says that it is at work; with `block`, is at work until it is interrupted."""

    def __init__(self, block):
        self.block, self.said = block, False

    def handle_events(self, events, source):
        if not self.said:
            self.said = True
            print("ready", flush=True)
        if self.block:
            threading.Event().wait(50)

    def terminate(self, reason):
        print("ended", flush=True)


def endless():
    return [ff.Range(10**13), lambda batch: batch, Slow(False)]


def blocked():
    return [ff.Range(10**13), lambda batch: batch, Slow(True)]


def behind():
    with ff.Runtime() as rt:
        source = rt.start(ff.Range(10**13))
        rt.start(Slow(False), subscribe_to=[source]).join()


def streamed():
    for batch in ff.stream(ff.Range(10**13)):
        if batch[0] == 0:
            print("ready", flush=True)
    print("ended", flush=True)
'''


def signalled(folder, name, number, times):
    """Run an endless pipeline, send it a signal when it is at work; (exit code, stdout, stderr)."""
    (folder / "endless.py").write_text(ENDLESS)
    process = subprocess.Popen(
        [sys.executable, "-m", "fastflow", "run", f"endless.py:{name}"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            for _ in range(times):
                process.send_signal(number)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("name", ["endless", "behind", "streamed"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_drains_and_ends(number, code, name, folder):
    got, out, err = signalled(folder, name, number, times=1)

    assert got == code
    assert "ended" in out
    assert "Traceback" not in err


def test_a_second_ctrl_c_aborts_a_drain_that_hangs(folder):
    # The callback waits for 50 s, so the drain that the first one starts can't end; the second is
    # sent when the command line has said on stderr that it drains, since two signals at once are
    # one.
    (folder / "endless.py").write_text(ENDLESS)
    process = subprocess.Popen(
        [sys.executable, "-m", "fastflow", "run", "endless.py:blocked"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            assert process.stderr.readline() != ""
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
        finally:
            process.kill()

    assert process.returncode == 130


# -- bench --


def test_bench_outside_a_checkout_says_where_to_get_one(folder):
    # A copy of the package alone, as pip would install it.
    shutil.copytree(pathlib.Path(ff.__file__).parent, folder / "site" / "fastflow")
    done = subprocess.run(
        [sys.executable, "-m", "fastflow", "bench"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "site")},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.returncode != 0
    assert "checkout" in done.stderr
    assert "Traceback" not in done.stderr


# -- the installed command --


def test_the_command_is_installed_beside_the_interpreter():
    command = shutil.which("fastflow", path=os.fspath(pathlib.Path(sys.executable).parent))
    if command is None:
        # Run from a tree that is only on the path: then the entry point is all that can be looked
        # at.
        from fastflow.cli import main

        assert callable(main)
        return

    done = subprocess.run(
        [command, "--version"], capture_output=True, text=True, timeout=50, check=False
    )

    assert done.stdout == f"fastflow {ff.__version__}\n"
