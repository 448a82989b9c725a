"""Benchmarks: what fastflow costs, measured against fair rivals in the same run.

    python -m bench                  every benchmark; one table and one line that names the machine
    python -m bench range_to_sum     those whose name contains it
    python -m bench --markdown       the table as it stands in the README
    python -m bench --small          everything once and tiny: are all results equal?

A benchmark is a function in a `bench_<topology>.py` file.  It hands a `bench.harness.Race` our way
of doing some work and the others' ways; the race runs them in turn, round by round, compares what
they return, and gives the median of the ratios, pair by pair.  Rivals in C are in `_rivals.c`.

    round 1   rival, ours  ─▶ ratio      A machine that slows down for a second slows both sides of
    round 2   rival, ours  ─▶ ratio      a pair: the ratio stays, where the two medians would not.
    ...                       median

Nothing here decides whether a change may be merged: `make test` runs every benchmark once, small,
for equal results only (`tests/test_bench.py`), because a ratio on a shared machine is a coin.
"""
