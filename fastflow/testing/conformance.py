"""Conformance: does a stage of yours keep the 43 rules of Reactive Streams?

    report = ff.testing.conformance(lambda: Counter(0, 100))
    report.check()                             # AssertionError, if a rule is broken
    print(report)                              # a table

The stage is started some hundred times, each time afresh, between a producer and a consumer that are driven step by
step: nothing sleeps, and a stage that waits for hours is looked at in no time, since the clock jumps.  Takes a fraction
of a second for most stages.  The rules are in `fastflow.testing.rules`.
"""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastflow.errors import OptionError
from fastflow.runtime import Ref
from fastflow.stage import Stage
from fastflow.testing import asking, handling, producing
from fastflow.testing.rules import RULES, Rule
from fastflow.testing.trial import Broken, Kit, NotLooked, SetUpFailed, say

__all__ = ["Entry", "Report", "conformance"]

log = logging.getLogger("fastflow.testing")

Verdict = Literal["kept", "broken", "declared", "differs", "not this kind of stage"]

_CHECKS: dict[str, Callable[[Kit], None]] = {**producing.CHECKS, **handling.CHECKS, **asking.CHECKS}


@dataclass(frozen=True)
class Entry:
    """What was found about one rule.

    Attributes
    ----------
    number : str
        Of the rule, "1.1" to "4.2".
    meaning : str
        The rule, in one line.
    verdict : str
        "kept", "broken", "declared" (it can't be seen from outside), "differs" (on purpose), or
        "not this kind of stage".
    note : str
        How it was looked at, why it can't be, or what is otherwise.
    by : {"stage", "runtime"}
        Who sees to it.
    got, expected, do : str
        Of a broken one: what was got, what was expected, what to do.
    """

    number: str
    meaning: str
    verdict: Verdict
    note: str
    by: str
    got: str = ""
    expected: str = ""
    do: str = ""

    def __str__(self) -> str:
        if self.verdict == "broken":
            return f"{self.number}: {self.meaning}: got {self.got}, expected {self.expected}; {self.do}"
        return f"{self.number}: {self.meaning}: {self.verdict} ({self.note})"


class Report(Sequence[Entry]):
    """What was found about each of the 43 rules, in order.

    Parameters
    ----------
    stage : str
        The stage's class.
    kind : str
        Of stage.
    entries : sequence of Entry
        One a rule.
    """

    def __init__(self, stage: str, kind: str, entries: Sequence[Entry]) -> None:
        self.stage, self.kind = stage, kind
        self.entries = tuple(entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, which: Any) -> Any:
        """Return the entry of a rule, ``report["1.5"]``, or by position."""
        if isinstance(which, str):
            for entry in self.entries:
                if entry.number == which:
                    return entry
            raise KeyError(f"rule: got {which!r}, expected one of {', '.join(RULES)}")
        return self.entries[which]

    @property
    def broken(self) -> list[Entry]:
        """The rules that are broken."""
        return [entry for entry in self.entries if entry.verdict == "broken"]

    def check(self) -> None:
        """Raise if a rule is broken.

        Raises
        ------
        AssertionError
            With all that are broken.
        """
        if self.broken:
            rules = "1 rule is" if len(self.broken) == 1 else f"{len(self.broken)} rules are"
            raise AssertionError("\n".join([f"{self.stage} ({self.kind}): {rules} broken",
                                            *(f"  {entry}" for entry in self.broken)]))

    def __repr__(self) -> str:
        verdicts = [entry.verdict for entry in self.entries]
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
        lines = [f"<conformance of {self.stage} ({self.kind}): {counts}>"]
        for entry in self.entries:
            by = " by the runtime" if entry.verdict == "kept" and entry.by == "runtime" else ""
            lines.append(f"  {entry.number:<4}  {entry.verdict + by:<22}  {entry.meaning}")
            if entry.verdict == "broken":
                lines += textwrap.wrap(f"got {entry.got}, expected {entry.expected}; {entry.do}", 110,
                                       initial_indent=" " * 32, subsequent_indent=" " * 32)
        return "\n".join(lines)


def conformance(
    make_stage: Callable[[], Stage],
    *,
    events: Sequence[Any] | None = None,
    expected: int | None = None,
    endless: bool = False,
    failing: Callable[[], Stage] | None = None,
    options: dict[str, Any] | None = None,
    subscribe: Sequence[dict[str, Any]] = ({},),
    upstream: dict[str, Any] | None = None,
    nudge: Callable[[Ref], object] | None = None,
    limit: int = 10_000,
) -> Report:
    """Look whether a stage keeps the rules of Reactive Streams.

    Parameters
    ----------
    make_stage : callable
        Returns a fresh template; it is called for each trial.  A class without arguments will do.
    events : sequence of batches, optional
        Samples for a consumer or producer_consumer: arrays, `ff.Batch` or lists.  They must come in one schema, and
        the stage must be able to handle each of them.
    expected : int, optional
        Events that it emits in all; None: as many as come.
    endless : bool, default False
        It emits for ever, so no end is to be expected.
    failing : callable, optional
        Returns a template of a stage that fails sooner or later, to see that it says so.
    options : dict, optional
        Of `Runtime.start`.
    subscribe : sequence of dict, default ({},)
        Options of each consumer's subscription: one consumer a dict.  A dispatcher of partitions needs one for each.
    upstream : dict, optional
        Options of the stage's own subscription; ``cancel="temporary"`` says that it survives a failure upstream.
    nudge : callable, optional
        Called with the ref when nothing moves though events were asked for: casts what the stage waits for, say.
    limit : int, default 10000
        Events after which an end is no longer waited for.

    Returns
    -------
    Report
        An entry for each of the 43 rules.

    Raises
    ------
    TypeError
        If `make_stage` returns no stage, or samples are missing.
    Exception
        Whatever the stage's ``__init__`` or `setup` raised.

    Examples
    --------
    >>> import fastflow as ff
    >>> ff.testing.conformance(lambda: ff.Range(100), expected=100).broken
    []
    """
    if not callable(make_stage):
        raise TypeError(f"make_stage: got {type(make_stage).__name__}, expected a callable that returns a fresh "
                        "template; write lambda: Counter(0, 100)")
    if not subscribe:
        raise OptionError("subscribe: got no consumer, expected at least one; give [{}] for one without options")
    is_list = isinstance(events, (list, tuple)) and all(hasattr(batch, "__len__") for batch in events)
    if events is not None and not is_list:
        raise TypeError(f"events: got {events!r}, expected a list of sample batches; give "
                        "[np.arange(3), np.arange(5)], say")
    kit = Kit(make_stage, list(events or ()), expected, endless, failing, dict(options or {}), list(subscribe),
              dict(upstream or {}), nudge, limit)
    if kit.takes and not kit.sample_count:
        raise TypeError(f"events: got none, expected sample batches, since {kit.cls.__name__} is a {kit.kind}; "
                        "give events=[np.arange(3), np.arange(5)], say")
    kit.try_to_start()
    found: dict[str, Entry] = {}
    for rule in RULES.values():
        if rule.number != "4.1":
            found[rule.number] = _look(kit, rule)
    found["4.1"] = _both(kit, found)
    return Report(kit.cls.__name__, kit.kind, [found[number] for number in RULES])


def _look(kit: Kit, rule: Rule) -> Entry:
    """What one rule comes to."""

    def entry(verdict: Verdict, note: str, got: str = "", expected: str = "", do: str = "") -> Entry:
        return Entry(rule.number, rule.meaning, verdict, note, rule.by, got, expected, do)

    concerned = {"emits": kit.emits, "takes": kit.takes, "both": kit.emits and kit.takes}[rule.side]
    if not concerned:
        return entry("not this kind of stage", f"{kit.cls.__name__} is a {kit.kind}")
    if rule.number not in _CHECKS:
        return entry(rule.verdict, rule.how)
    try:
        _CHECKS[rule.number](kit)
    except Broken as it:
        return entry("broken", rule.how, it.got, it.expected, it.do)
    except NotLooked as why:
        return entry("declared", str(why))
    except SetUpFailed as it:
        if rule.number != it.rule:
            return entry("declared", f"it can't be subscribed, so there is nothing to look at: see {it.rule}")
        return entry("broken", rule.how, say(it.reason), "a subscription", "mend handle_subscribe")
    except Exception as error:                          # whatever stops a check is told like all that is found
        log.debug("rule %s of %s: the check was stopped", rule.number, kit.cls.__name__, exc_info=error)
        return entry("broken", rule.how, say(error), "nothing is raised there",
                     "its traceback is logged at level DEBUG")
    return entry(rule.verdict, rule.how)


def _both(kit: Kit, found: dict[str, Entry]) -> Entry:
    """4.1: its own part, and all of parts 1 and 2."""
    rule = RULES["4.1"]
    own = _look(kit, rule)
    others = [entry.number for entry in found.values() if entry.verdict == "broken" and entry.number[0] in "12"]
    if own.verdict == "kept" and others:
        return Entry(rule.number, rule.meaning, "broken", rule.how, rule.by, f"broken: {', '.join(others)}",
                     "none of parts 1 and 2", "mend those")
    return own
