"""Columns of a batch that somebody keeps: each alone, as NumPy, Polars and pandas hold them."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fastflow as ff

QUOTE = np.dtype([("price", "f8"), ("size", "i4"), ("vec", "f4", (3,)), ("name", "S5")])


class Quotes(ff.Producer):
    """Quotes whose every column follows from the position in the stream."""

    dtype = QUOTE

    def __init__(self, stop):
        self.next, self.stop_at = 0, stop

    def handle_demand(self, demand):
        out = self.claim(min(demand, self.stop_at - self.next))
        serial = np.arange(self.next, self.next + len(out))
        for name in QUOTE.names:
            out[name][:] = column(name, serial)
        self.next += len(out)
        if self.next == self.stop_at:
            self.finish()
        return out


def column(name, serial):
    """What column `name` of the quotes number `serial` holds."""
    if name == "vec":
        return (serial[:, None] + np.arange(3)).astype("f4")
    return {"price": serial / 4, "size": serial % 1000, "name": np.char.mod("%d", serial % 9999)}[
        name
    ].astype(QUOTE[name])


class ColumnKeeper(ff.Consumer):
    """Keeps one column of each batch, or part of it, and nothing else."""

    def __init__(self, how):
        self.how = how
        self.kept = []
        self.seen = 0

    def handle_events(self, events, source):
        self.kept.append((self.seen, len(events), self.how(events)))
        self.seen += len(events)

    def result(self):
        return self.kept


@pytest.mark.parametrize("name", QUOTE.names)
def test_a_column_kept_alone_stays_as_it_was(name):
    rt = ff.Runtime()
    rt.start(
        ColumnKeeper(lambda batch: batch[name]),
        subscribe_to=[(rt.start(Quotes(50_000)), {"max_demand": 1000, "min_demand": 500})],
        name="keeper",
    )

    kept = rt.run(timeout=50)["keeper"]

    assert sum(n for _, n, _ in kept) == 50_000
    for first, n, held in kept:
        np.testing.assert_array_equal(held, column(name, np.arange(first, first + n)))


@pytest.mark.parametrize(
    ("keep", "look"),
    [
        pytest.param(lambda batch: batch, lambda batch: batch["price"], id="batch"),
        pytest.param(lambda batch: batch[2:9], lambda batch: batch["price"], id="slice of a batch"),
        pytest.param(lambda batch: batch["price"][2:9], np.asarray, id="slice of a column"),
        pytest.param(
            lambda batch: pl.Series("price", batch["price"]), lambda s: s.to_numpy(), id="polars"
        ),
        pytest.param(
            lambda batch: pd.DataFrame({n: batch[n] for n in ("price", "size")}, copy=False),
            lambda frame: frame["price"].to_numpy(),
            id="pandas",
        ),
        pytest.param(lambda batch: batch[3], lambda row: next(iter(row)), id="row"),
    ],
)
def test_a_batch_of_columns_kept_in_part_stays_as_it_was(keep, look):
    before = []

    def keep_and_copy(batch):
        held = keep(batch)
        before.append(np.copy(look(held)))
        return held

    rt = ff.Runtime()
    rt.start(
        ColumnKeeper(keep_and_copy),
        subscribe_to=[(rt.start(Quotes(50_000)), {"max_demand": 1000, "min_demand": 500})],
        name="keeper",
    )

    kept = rt.run(timeout=50)["keeper"]

    assert len(kept) == len(before) >= 100
    for (_, _, held), copy in zip(kept, before, strict=True):
        np.testing.assert_array_equal(look(held), copy)


def test_a_kept_list_of_objects_is_never_filled_again():
    items = [[i] for i in range(20_000)]

    batches = list(ff.stream(iter(items)))

    assert [item for batch in batches for item in batch] == items
    assert all(isinstance(batch, list) for batch in batches)
