"""The command line.

    fastflow run pipeline.py             the file, as Python would run it
    fastflow run pipeline.py:make        a name in it: what it makes is run
    fastflow run package.module:make     the same, of a module that can be imported
    fastflow bench [NAME] [--small]      in a checkout: measure against the rivals, as `make bench` does
    fastflow --version

What a name may be::

    a Runtime                        it is run; results of named stages are printed
    a list or tuple of stages        source, steps, sink: ``ff.run(*stages)``; the sink's result is printed
    a function without arguments     called; what it returns is one of the two above, or is printed

**Ctrl-C.**  The first Ctrl-C or SIGTERM *drains*: sources emit no more, what is on its way is handled, results are
printed.  The second *aborts*: the turn under way is rolled back, and nothing more is handled.  While nothing runs that
could be drained, the first aborts.  (In a library call Ctrl-C always aborts: the program around it decides.)  A script
goes on behind a run that was drained; what it starts then is not.

    exit code    0      done
                 1      failed: its traceback stands on standard error; or what the script gave to sys.exit
                 2      the command line can't be: a file, module or name that is not there
                 130    interrupted by Ctrl-C, drained or aborted
                 143    interrupted by SIGTERM, likewise
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import inspect
import os
import runpy
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import fastflow
from fastflow.errors import nearest
from fastflow.pipeline import run
from fastflow.runtime import Runtime
from fastflow.stage import Stage

__all__ = ["main"]


class UsageError(Exception):
    """The command line asks for what is not there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a command line says.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line without the program's name; that of the process by default.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    SystemExit
        For ``--help``, ``--version`` and a command line that argparse refuses; and when a script raises it.
    """
    parser = make_parser()
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.command != "bench":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if chosen.command == "bench":
            bench(rest)
        return run_target(chosen.target)
    except UsageError as error:
        print(f"fastflow {chosen.command}: {error}", file=sys.stderr)
        return 2


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="fastflow",
        description="Bulk pipelines in plain Python that stay in memory and use every core.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fastflow {fastflow.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    one = commands.add_parser(
        "run",
        help="run a pipeline script, or a pipeline that it holds",
        description="Run a pipeline script, or a pipeline that it holds: a Runtime, a list of stages (source, steps, "
        "sink), or a function without arguments that makes one of them.  The first Ctrl-C or SIGTERM drains, the "
        "second aborts.",
        epilog="Exit codes: 0 done, 1 failed, 2 not there, 130 and 143 interrupted by Ctrl-C and SIGTERM.",
        allow_abbrev=False,
    )
    one.add_argument(
        "target",
        metavar="FILE_OR_MODULE[:NAME]",
        help="pipeline.py or package.module; with :NAME, which pipeline of it",
    )
    commands.add_parser(
        "bench",
        usage="fastflow bench [-h] [ARGUMENTS ...]",
        help="in a checkout: measure fastflow against its rivals",
        description="Measure fastflow against its rivals, as `make bench` does; works in a checkout.  Arguments are "
        "those of `python -m bench`, among them the name of a benchmark, --small and --markdown.",
        allow_abbrev=False,
    )
    return parser


# -- bench --


def bench(arguments: Sequence[str]) -> None:
    """Become ``python -m bench`` in the checkout that this package belongs to; doesn't return.

    Raises
    ------
    UsageError
        When there is none, or its benchmarks lack a library.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / "bench" / "__main__.py").is_file() or not (root / "setup.py").is_file():
        raise UsageError(
            f"got fastflow installed in {root}, expected a checkout of its repository: the benchmarks are no part of "
            f"the package; get the source of fastflow {fastflow.__version__}, and say `make bench` in its folder"
        )
    if importlib.util.find_spec("pytest_benchmark") is None:
        raise UsageError(
            f"got a Python without pytest-benchmark, expected the extra 'bench'; say `make bench` in {root}, which "
            "installs it"
        )
    sys.stdout.flush()
    os.chdir(root)
    # In the place of this process rather than below it, so that signals and the exit code are its own.
    os.execv(sys.executable, [sys.executable, "-m", "bench", *arguments])


# -- run --


def run_target(target: str) -> int:
    """Run a file, a module, or a name in one of them.

    Parameters
    ----------
    target : str
        ``FILE_OR_MODULE[:NAME]``.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    UsageError
        When it is not there, or can't be run.
    SystemExit
        When the script raises it.
    """
    where, colon, name = target.partition(":")
    if not where or (colon and not name):
        raise UsageError(f"got {target!r}, expected FILE_OR_MODULE or FILE_OR_MODULE:NAME; write pipeline.py:make, say")
    path = file_of(where)
    with draining() as interrupted:
        try:
            if not name:
                run_script(where, path)
            else:
                run_name(load(where, path), where, name)
        except UsageError:
            raise
        except KeyboardInterrupt:
            print("fastflow: interrupted", file=sys.stderr)
            return 128 + (interrupted[0] if interrupted else signal.SIGINT)
        except SystemExit:
            if not interrupted:
                raise
        except BaseException as error:  # noqa: BLE001  shown as Python shows what nobody catches
            error = error.with_traceback(users_part(error.__traceback__))
            sys.excepthook(type(error), error, error.__traceback__)
            if not interrupted:
                return 1
    return 128 + interrupted[0] if interrupted else 0


def file_of(where: str) -> Path | None:
    """Return the file that is meant; None: `where` names a module."""
    path = Path(where)
    if path.is_file():
        return path.resolve()
    if path.suffix == ".py" or os.sep in where:
        what = "a folder" if path.is_dir() else "no such file"
        raise UsageError(f"{where}: got {what}, expected a file with Python in it; give its path from {os.getcwd()}")
    if not all(part.isidentifier() for part in where.split(".")):
        raise UsageError(f"{where}: got neither a file nor the name of a module; write pipeline.py or package.module")
    return None


def run_script(where: str, path: Path | None) -> None:
    """Run a file or module as Python would run it: as ``__main__``."""
    sys.argv = [where]
    if path is not None:
        execute(path, "__main__")
        return
    found = find(where)
    if found.submodule_search_locations is not None and importlib.util.find_spec(f"{where}.__main__") is None:
        raise UsageError(f"{where}: got a package without a __main__ module, expected one, or the name of a pipeline "
                         f"in it; write {where}:NAME")
    runpy.run_module(where, run_name="__main__", alter_sys=True)


def load(where: str, path: Path | None) -> types.ModuleType:
    """Return the module that a name is taken of; it is not the main script."""
    if path is None:
        find(where)
        return importlib.import_module(where)
    # Not the name of a module that is there already, which others would then find in its place.
    stem = path.stem
    return execute(path, f"{stem}_pipeline" if stem in sys.modules else stem)


def find(where: str) -> ModuleSpec:
    """See to it that a module is there, in the current folder or among the installed ones."""
    sys.path.insert(0, os.getcwd())
    try:
        found = importlib.util.find_spec(where)
    except ModuleNotFoundError as error:
        # A package on the way to it is not there; or it is, and fails to import something else.
        if error.name is None or not f"{where}.".startswith(f"{error.name}."):
            raise
        found = None
    if found is None:
        raise UsageError(f"{where}: got no module of that name in {os.getcwd()} or among the installed ones, expected "
                         "one; give the path of its file, or install it")
    return found


def execute(path: Path, name: str) -> types.ModuleType:
    """Execute a file as module `name`, with its folder first on the path."""
    module = types.ModuleType(name)
    module.__file__ = str(path)
    # Found by name from here on: by pickle, by dataclasses, and by whoever imports __main__.
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    # As bytes: the file itself says how it is encoded.
    exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)
    return module


def run_name(module: types.ModuleType, where: str, name: str) -> None:
    """Run what a module has under a name."""
    if not hasattr(module, name):
        names = [known for known in vars(module) if not known.startswith("_")]
        raise UsageError(f"{where}: {nearest('name', name, names)}")
    thing = getattr(module, name)
    if takes_nothing(thing):
        show(thing())
    elif isinstance(thing, Runtime) or is_pipeline(thing):
        show(thing)
    else:
        raise UsageError(
            f"{where}: got {name} = {thing!r}, expected a Runtime, a list of stages (source, steps, sink), or a "
            "function without arguments that returns one of them; write such a function, and give its name"
        )


def takes_nothing(thing: Any) -> bool:
    """Whether it is a function that can be called without arguments; one that doesn't say is tried."""
    if isinstance(thing, (type, Stage)) or not callable(thing):
        return False
    try:
        inspect.signature(thing).bind()
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def is_pipeline(thing: Any) -> bool:
    """Whether it is a source, steps and a sink, and not some other list."""
    return isinstance(thing, (list, tuple)) and len(thing) > 1 and (isinstance(thing[-1], Stage) or callable(thing[-1]))


def show(thing: Any) -> None:
    """Run a pipeline and print what it comes to; anything else is a result itself."""
    if isinstance(thing, Runtime):
        for name, result in thing.run().items():
            if result is not None:
                print(f"{name}: {result}")
        return
    if is_pipeline(thing):
        thing = run(*thing)
    if thing is not None:
        print(thing)


def users_part(traceback: TracebackType | None) -> TracebackType | None:
    """Drop the frames by which the command line came to the user's code."""
    ours = (__file__, importlib.__file__, runpy.__file__)
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file not in ours and not file.startswith("<frozen "):
            break
        traceback = traceback.tb_next
    return traceback


# -- signals --


@contextmanager
def draining() -> Iterator[list[int]]:
    """Drain at the first Ctrl-C or SIGTERM, and abort at the second, for the length of the block.

    Yields
    ------
    list of int
        The signals that came.
    """
    came: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        runtimes = under_way() if len(came) == 1 else []
        if not runtimes:
            # For SIGTERM as well: the runtime rolls the turn back, and takes it for no failure of the stage.
            raise KeyboardInterrupt
        for runtime in runtimes:
            # As mail, since the scheduler may be in the middle of a turn: here, or in another thread.
            runtime.scheduler.post(runtime._drain)
        # Not by print: this may have come in the middle of another one.
        name = signal.Signals(number).name
        os.write(2, f"fastflow: {name}: draining, sources emit no more; once more aborts\n".encode())

    if threading.current_thread() is not threading.main_thread():
        yield came                          # only the main thread may handle signals: they are left as they are
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def under_way() -> list[Runtime]:
    """Return the runtimes that have begun and not ended, whoever made them and wherever they are driven.

    Nobody keeps a list of them, as it would be needed here alone, once; so they are looked for.
    """
    return [
        thing
        for thing in gc.get_objects()
        if issubclass(type(thing), Runtime) and not thing.closed and (thing.driven or thing.scheduler.turns_taken)
    ]


if __name__ == "__main__":
    sys.exit(main())
