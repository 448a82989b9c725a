"""Pipelines: page one.

    total = ff.run(ff.Range(1_000_000), lambda x: x * 3 + 1, lambda x: x[x % 2 == 0], ff.Sum())

    for batch in ff.stream(read_blocks(path), parse):
        ...

A thin layer over stages: a source, steps and a sink are subscribed to each other in a runtime of their own, which this
thread drives.  Functions, iterables and arrays go in where stages do:

    in place of    a function is                          anything else
    the source     called for the iterable                an iterable, array or Batch is an `ff.FromIterable`
    a step         an `ff.Map`: batch in, batch out
    the sink       an `ff.ForEach`

    parts.py    what stands for a stage; a pipeline put together
    run.py      driven to its end
    stream.py   driven by a loop
"""

from fastflow.pipeline.parts import step
from fastflow.pipeline.run import run
from fastflow.pipeline.stream import stream

__all__ = ["run", "step", "stream"]
