"""Page one of the docs against its rivals: range -> map -> filter -> sum.

    ff.run(ff.Range(n), lambda x: x * 3 + 1, lambda x: x[x % 2 == 0], ff.Sum())

A generator of the same NumPy calls is what a careful programmer writes by hand.  Polars and DuckDB
know what is computed, so they fuse the steps and use every core; where a program can be said in
their language it should be, and the rows are here to show by how much.
"""

import duckdb
import numpy as np
import polars as pl

import fastflow as ff
from bench.harness import Rival
from bench.stages import edge


def scale(x):
    """The step that maps."""
    return x * 3 + 1


def keep_even(x):
    """The step that filters."""
    return x[x % 2 == 0]


def by_generator(stop, batch):
    """The same NumPy calls, chunk by chunk, in a chain of generators."""
    chunks = (np.arange(at, min(at + batch, stop)) for at in range(0, stop, batch))
    return sum(int(x.sum()) for x in (keep_even(x) for x in (scale(x) for x in chunks)))


def by_polars(stop):
    """A streaming query of Polars."""
    return (
        pl.LazyFrame({"one": [1]})
        .select(x=pl.int_range(0, stop, dtype=pl.Int64))
        .select(y=pl.col("x") * 3 + 1)
        .filter(pl.col("y") % 2 == 0)
        .select(pl.col("y").sum())
        .collect(engine="streaming")
        .item()
    )


def by_duckdb(stop):
    """A query of DuckDB."""
    query = "SELECT sum(y) FROM (SELECT range * 3 + 1 AS y FROM range(?)) WHERE y % 2 = 0"
    with duckdb.connect() as connection:
        return int(connection.execute(query, [stop]).fetchone()[0])


def bench_steps_and_a_generator(race):
    batch = 16_384
    stop = race.size(batch * 1_500, 3 * batch + 5)
    race.faster(
        "Range -> map -> filter -> Sum, NumPy steps, batches of 16 K",
        lambda: ff.run(ff.Range(stop), scale, keep_even, ff.Sum(), **edge(batch)),
        [Rival("a generator of the same NumPy calls", lambda: by_generator(stop, batch), 0.97)],
        amount=stop,
    )


def bench_steps_and_queries(race):
    stop = race.size(50_000_000, 100_000)
    race.faster(
        "Range -> map -> filter -> Sum, NumPy steps, default demand",
        lambda: ff.run(ff.Range(stop), scale, keep_even, ff.Sum()),
        [
            Rival("Polars, streaming, every core", lambda: by_polars(stop)),
            Rival("DuckDB, every core", lambda: by_duckdb(stop)),
        ],
        amount=stop,
        rounds=7,
    )
