"""Page one: a source, steps, a sink.

A step is a function from a batch to a batch; here each gets a NumPy array of thousands of numbers.
Ten billion take no more memory than ten million: a source makes only what the sink has asked for.

Prints::

    75000005000000
"""

import fastflow as ff

total = ff.run(ff.Range(10_000_000), lambda x: x * 3 + 1, lambda x: x[x % 2 == 0], ff.Sum())
print(total)
