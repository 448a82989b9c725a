"""Run the benchmarks and print their table: see the package's docstring."""

import argparse
import pathlib
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent


def main(arguments=None):
    """Run the benchmarks that the command line names.

    Parameters
    ----------
    arguments : list of str, optional
        Command line without the program's name; that of the process by default.

    Returns
    -------
    int
        0 when everything ran and all results were equal, whatever the ratios are; 2 when no
        benchmark has that name.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure fastflow against its rivals."
    )
    parser.add_argument("name", nargs="?", help="run only benchmarks whose name contains this")
    parser.add_argument(
        "--small", action="store_true", help="run everything once, tiny: compare results only"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    chosen = parser.parse_args(arguments)

    # pytest-benchmark's own table is left out: it has no room for ratios.
    options = [str(FOLDER), f"--config-file={FOLDER / 'pytest.ini'}", "--benchmark-quiet"]
    options += ["--quiet", "--no-header", "--tb=short"]
    if chosen.name:
        options += ["-k", chosen.name]
    if chosen.small:
        options.append("--small")
    if chosen.markdown:
        options.append("--markdown")
    ended = pytest.main(options)
    if ended == pytest.ExitCode.NO_TESTS_COLLECTED:
        parser.error(
            f"no benchmark has {chosen.name!r} in its name; "
            f"the files of {FOLDER.name}/ hold them: say def bench_NAME there, NAME here"
        )
    return int(ended)


if __name__ == "__main__":
    sys.exit(main())
