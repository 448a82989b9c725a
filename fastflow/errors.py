"""Errors: what can go wrong, as one tree.

    FastflowError
    ├── OptionError     an option that nobody knows, or with a value that it can't have   (TypeError)
    ├── SchemaError     events of one kind where another was declared                     (TypeError)
    ├── DemandError     a demand or a size that can't be                                  (ValueError)
    ├── StateError      a `state` that can't be committed                                 (ValueError)
    ├── GraphError      stages joined in a way that can't work                            (ValueError)
    ├── NameTaken       a name that another stage already has                             (ValueError)
    ├── CallbackError   a callback returned, or called, what it may not                   (RuntimeError)
    ├── NotDriven       a wait that nobody would ever end                                 (RuntimeError)
    ├── Closed          something is used after its end                                   (RuntimeError)
    ├── GaveUp          a supervisor's children failed too often                          (RuntimeError)
    ├── Killed          a stage was ended by `Ref.kill`                                   (RuntimeError)
    ├── Stalled         nothing can move any more, yet somebody still waits               (RuntimeError)
    ├── WaitTimeout     a wait that took longer than it was given                         (TimeoutError)
    └── MissingExtra    an optional library that is not installed                         (ImportError)

Each is also the built-in exception that fits, so ``except ValueError`` works as everywhere else.  Every
message says what was got, what was expected, and what to do; an error out of a callback is not wrapped in
one of these but raised as it is, with a note that says where it happened.

`Retry` stands here too, although it is no error: a callback raises it to have the same turn again later.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "CallbackError",
    "Closed",
    "DemandError",
    "FastflowError",
    "GaveUp",
    "GraphError",
    "Killed",
    "MissingExtra",
    "NameTaken",
    "NotDriven",
    "OptionError",
    "Retry",
    "SchemaError",
    "Stalled",
    "StateError",
    "WaitTimeout",
    "nearest",
]


class FastflowError(Exception):
    """Base of every error that fastflow itself raises."""


class OptionError(FastflowError, TypeError):
    """An option that nobody knows, or a value that an option can't have."""


class SchemaError(FastflowError, TypeError):
    """Events of one schema came where another was declared."""


class DemandError(FastflowError, ValueError):
    """A demand, a batch size or a capacity that can't be."""


class StateError(FastflowError, ValueError):
    """A declared state that can't be committed: not set, too large, or not picklable."""


class GraphError(FastflowError, ValueError):
    """Stages joined in a way that can't work: a cycle, a consumer of nothing, a producer that subscribes."""


class NameTaken(FastflowError, ValueError):
    """A name that another stage of the same runtime already has."""


class CallbackError(FastflowError, RuntimeError):
    """A callback returned what it may not, or called what only another place may call."""


class NotDriven(FastflowError, RuntimeError):
    """A wait on a runtime that nobody drives: it would never end."""


class Closed(FastflowError, RuntimeError):
    """A runtime, a stage or a ring is used after its end."""


class GaveUp(FastflowError, RuntimeError):
    """A supervisor ended, since its children failed more often than it allows.

    Parameters
    ----------
    text : str
        Who gave up, after how many failures, and what to do.
    causes : iterable of str, optional
        What the children failed with, the oldest first: text alone, so that no frame is kept alive.
    """

    def __init__(self, text: str = "", causes: Iterable[str] = ()):
        super().__init__(text)
        self.causes = tuple(causes)


class Killed(FastflowError, RuntimeError):
    """A stage was ended by `Ref.kill`, without a chance to clean up."""


class Stalled(FastflowError, RuntimeError):
    """Nothing can move any more, yet a consumer has not ended."""


class WaitTimeout(FastflowError, TimeoutError):
    """A wait took longer than its `timeout`, in seconds."""


class MissingExtra(FastflowError, ImportError):
    """An optional library is not installed; the message names the extra that brings it."""


class Retry(Exception):
    """Raise it in a callback to have the same turn again, later.

    The turn is rolled back (nothing emitted, nothing acknowledged, the declared `state` as it was) and taken
    again after `after` seconds.  Until then the stage takes no other turn.  This is no failure: nothing is
    restarted and nothing is counted.

    Parameters
    ----------
    after : float, default 0.0
        Seconds until the turn is taken again, on the runtime's clock.

    Examples
    --------
    >>> import fastflow as ff
    >>> raise ff.Retry(after=1.0)
    Traceback (most recent call last):
    ...
    fastflow.errors.Retry: the same turn again in 1.0 s
    """

    def __init__(self, after: float = 0.0):
        if isinstance(after, bool) or not isinstance(after, (int, float)):
            raise TypeError(f"after of Retry: got {after!r}, expected seconds as a number; give 0.5, say")
        if not 0 <= after < float("inf"):
            raise ValueError(f"after of Retry: got {after!r}, expected seconds from 0 up; give 0.5, say")
        super().__init__(after)
        self.after = float(after)

    def __str__(self) -> str:
        return f"the same turn again in {self.after} s"


def nearest(what: str, got: str, valid: Iterable[str], elsewhere: str = "") -> str:
    """Text of an error about an unknown word, with the nearest valid one.

    Parameters
    ----------
    what : str
        What the word is: ``"option"``, ``"subscription option"``.
    got : str
        The word.
    valid : iterable of str
        The words that would have been right.
    elsewhere : str, optional
        Where the word would have been right, if that is known.

    Returns
    -------
    str

    Examples
    --------
    >>> nearest("option", "max_demnad", ["max_demand", "min_demand"])
    "unknown option: got 'max_demnad', expected one of max_demand, min_demand; did you mean 'max_demand'?"
    """
    import difflib  # only errors need it, and every import would pay for it

    words = sorted(valid)
    close = difflib.get_close_matches(got, words, n=1)
    hint = elsewhere or (f"did you mean {close[0]!r}?" if close else "see the list")
    return f"unknown {what}: got {got!r}, expected one of {', '.join(words)}; {hint}"
