"""Functions and iterables: all of this must pass."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

import fastflow as ff

Numbers = npt.NDArray[np.int64]


def parse(batch: Numbers) -> Numbers:
    return batch * 2


def blocks(stop: int) -> Iterator[Numbers]:
    for first in range(0, stop, 1000):
        yield np.arange(first, first + 1000)


def announce(batch: Numbers) -> None:
    print(len(batch))


total: int = ff.run(ff.Range(1_000), lambda x: x * 3 + 1, lambda x: x[x % 2 == 0], ff.Sum())
count: int = ff.run(blocks(10_000), parse, ff.Count())
again: int = ff.run(lambda: blocks(10_000), parse, ff.Count())
array: int = ff.run(np.arange(10), ff.Sum())
ff.run([np.arange(10), np.arange(5)], parse, announce)
ff.run(ff.Range(0, 10, 2), ff.Filter(lambda batch: batch > 2), ff.Map(parse), ff.ForEach(announce))
ff.run(ff.Range(10, dtype="float64"), ff.Batcher(4), ff.Collect())

for batch in ff.stream(blocks(10_000), parse, ff.step(parse)):
    print(batch.sum())

first = next(iter(ff.stream(ff.Range(10))))

quotes = ff.Batch(price=np.arange(3.0), size=np.arange(3))
also = ff.Batch({"price": np.arange(3.0)})
n: int = len(quotes)
names: tuple[str, ...] = quotes.columns
prices = quotes["price"]
plain = quotes.to_numpy()
plain_again = np.asarray(quotes)

version: str = ff.__version__
include: str = ff.get_include()
