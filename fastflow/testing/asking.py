"""Rules 3.1 to 3.17: what a subscription is, seen from the consumer's side of it.

Each check gets a `Kit`, and raises `Broken` with what it found.
"""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

from fastflow.testing.trial import OPEN, OURS, Broken, Kit, Watch, came, say, unharmed

__all__ = ["CHECKS"]

def from_any_thread(kit: Kit) -> None:
    """3.1."""
    with kit.trial() as trial:
        edge = trial.outputs[0]
        trial.race([lambda: edge.ask(kit.unit)])
        if edge.counters[0] != kit.unit:
            raise Broken(f"asked {edge.counters[0]} after an ask for {kit.unit} in another thread", f"{kit.unit}", OURS)
        trial.race([edge.cancel])
        if not edge.closed:
            raise Broken("an open subscription after a cancel in another thread", "a closed one", OURS)


def _asking(kit: Kit, times: int) -> Callable[[str, Any], None]:
    """What makes a hand ask in its callbacks, so many times."""
    left = [times]

    def react(what: str, subscription: Any) -> None:
        if left[0]:
            left[0] -= 1
            subscription.ask(kit.unit)

    return react


def asks_in_callbacks(kit: Kit) -> None:
    """3.2."""
    with kit.trial(subscribe=[{**kit.subscribe[0], "react": _asking(kit, 20)}, *kit.subscribe[1:]]) as trial:
        for edge in trial.outputs[1:]:
            edge.ask(100 * kit.unit)
        trial.drive()
        came(trial, 20, "for 20 asks in callbacks")


def no_recursion(kit: Kit) -> None:
    """3.3."""
    with kit.trial(subscribe=[{**kit.subscribe[0], "react": _asking(kit, 1000)}, *kit.subscribe[1:]]) as trial:
        trial.drive()
        depths = trial.heard[0].depths
        if trial.heard[0].nested or (depths and max(depths) - min(depths) > 5):
            raise Broken(f"{max(depths) - min(depths)} frames more with each ask in a callback", "no more frames", OURS)


def ask_runs_nothing(kit: Kit) -> None:
    """3.4."""
    watch = Watch()
    with kit.trial(watch) as trial:
        before = len(watch.calls), trial.stage.statistics()["turns"]
        for _ in range(1000):
            trial.ask(1)
        after = len(watch.calls), trial.stage.statistics()["turns"]
        if before != after:
            raise Broken(f"{after[0] - before[0]} callbacks and {after[1] - before[1]} turns while asks ran", "none",
                         OURS)


def cancel_from_anywhere(kit: Kit) -> None:
    """3.5."""
    watch = Watch()
    with kit.trial(watch) as trial:
        trial.ask(2 * kit.unit)
        trial.drive()
        edge = trial.outputs[0]
        was_open = not edge.closed
        trial.race([edge.cancel] * 8)
        heard = watch.count("handle_cancel", edge)
        if heard != was_open:
            raise Broken(f"handle_cancel {heard} times for one subscription", f"{int(was_open)}", OURS)


def ask_after_cancel(kit: Kit) -> None:
    """3.6."""
    with kit.trial() as trial:
        trial.ask(kit.unit)
        trial.drive()
        edge, heard = trial.outputs[0], trial.heard[0]
        edge.cancel()
        before = edge.counters, list(heard.log)
        edge.ask(5)
        trial.drive()
        if (edge.counters, heard.log) != before:
            raise Broken(f"{edge!r} and {len(heard.log) - len(before[1])} calls after an ask after the cancel",
                         "nothing", OURS)


def cancel_after_cancel(kit: Kit) -> None:
    """3.7."""
    watch = Watch()
    with kit.trial(watch) as trial:
        edge = trial.outputs[0]
        for _ in range(3):
            edge.cancel()
            trial.drive()
        if watch.count("handle_cancel", edge) != 1:
            raise Broken(f"handle_cancel {watch.count('handle_cancel', edge)} times for three cancels", "once", OURS)


def asks_add_up(kit: Kit) -> None:
    """3.8."""
    with kit.trial() as trial:
        for n in range(1, 101):
            trial.ask(n)
        for edge in trial.outputs:
            wanted = min(5050, edge.capacity)           # what is more waits on the consumer's side
            if edge.counters[0] != wanted:
                raise Broken(f"asked {edge.counters[0]} after asks for 1 to 100", f"{wanted}", OURS)
    with kit.trial() as trial:
        asked = 0
        for n in (1, 2, 7):
            asked += n * kit.unit
            trial.ask(n * kit.unit)
            trial.drive()
            came(trial, asked if kit.unit == 1 else 1, f"for {asked} asked in all")
            unharmed(trial, f"asked for {asked}")


def nonsense_is_refused(kit: Kit) -> None:
    """3.9."""
    with kit.trial() as trial:
        edge = trial.outputs[0]
        edge.ask(0)
        nonsense: list[Any] = [-1, -(2**63), math.nan, True, 1.5, "1", None]
        for n in nonsense:
            try:
                edge.ask(n)
            except (TypeError, ValueError):
                continue
            raise Broken(f"ask({n!r}) was taken", "an error at the caller", OURS)
        trial.drive()
        if edge.counters[0] or trial.heard[0].events():
            raise Broken(f"{edge!r} after asks for nothing and less", "nothing asked", OURS)
        trial.ask(3 * kit.unit)
        trial.drive()
        came(trial, 3, "after asks that were refused")


def no_events_in_ask(kit: Kit) -> None:
    """3.10."""
    inside: list[bool] = []

    def react(what: str, subscription: Any) -> None:
        before = subscription.counters[1]
        subscription.ask(kit.unit)
        inside.append(subscription.counters[1] != before)

    with kit.trial(subscribe=[{**kit.subscribe[0], "react": react}, *kit.subscribe[1:]]) as trial:
        before = trial.received
        trial.ask(10 * kit.unit)
        if trial.received != before or trial.sent:
            raise Broken(f"{trial.sent} events sent before ask returned", "none before the next turn", OURS)
        trial.drive(lambda: trial.received > 50 * kit.unit)
        if any(inside):
            raise Broken("events sent while an ask in a callback ran", "none before the next turn", OURS)


def no_end_in_ask(kit: Kit) -> None:
    """3.11."""
    with kit.trial() as trial:
        for _ in range(200):
            before = [heard.end() for heard in trial.heard]
            trial.ask(kit.unit)
            if [heard.end() for heard in trial.heard] != before:
                raise Broken("the end came before ask returned", "not before the next turn", OURS)
            trial.drive()
            if OPEN not in before or kit.endless:
                return


def rest_after_cancel(kit: Kit) -> None:
    """3.12."""
    with kit.trial() as trial:
        trial.ask(3 * kit.unit)
        trial.drive()
        for edge in trial.outputs:
            edge.cancel()
        trial.drive()


def lets_go(kit: Kit) -> None:
    """3.13."""
    with kit.trial() as trial:
        trial.ask(2 * kit.unit)
        trial.drive()
        for edge in trial.outputs:
            edge.cancel()
        trial.drive()
        alive = trial.stage.alive
        references = [weakref.ref(edge) for edge in trial.outputs]
        del edge
        trial.outputs.clear()
        for heard in trial.heard:
            heard.log.clear()
        gc.collect()
        if alive and any(reference() is not None for reference in references):
            raise Broken("a subscription that was cancelled and is still referred to", "nobody holds it",
                         "drop it in handle_cancel from where handle_subscribe has put it")


def last_cancel(kit: Kit) -> None:
    """3.14."""
    with kit.trial() as trial:
        trial.ask(kit.unit)
        trial.drive()
        had = trial.received
        for edge in trial.outputs:
            edge.cancel()
        trial.drive()
        unharmed(trial, "at the last cancel")
        if not trial.stage.alive:
            return
        later = [trial.add_hand(**options) for options in kit.subscribe]
        for edge in later:
            edge.ask(100 * kit.unit)
        trial.drive()
        more = sum(edge.counters[1] for edge in later)
        if not more and had < kit.total and not all(edge.closed for edge in later):
            raise Broken(f"{had} of {kit.total} events for the first consumer, none and no end for the next",
                         "it ends at the last cancel, or serves the next consumer",
                         "in handle_cancel call finish(), or leave everything as it is")


def cancel_returns_normally(kit: Kit) -> None:
    """3.15."""
    for asked in (0, 2 * kit.unit):
        with kit.trial() as trial:
            trial.ask(asked)
            trial.drive()
            for edge in trial.outputs:
                try:
                    edge.cancel()
                except Exception as error:
                    raise Broken(f"cancel raised {say(error)}", "it returns normally", OURS) from error
            trial.drive()
            unharmed(trial, "at a cancel")


def demand_is_answered_normally(kit: Kit) -> None:
    """3.16."""
    with kit.trial() as trial:
        for n in (1, 2, 7, 1000):
            trial.ask(n)
            trial.drive()
            unharmed(trial, f"asked for {n}")


def without_limit(kit: Kit) -> None:
    """3.17."""
    with kit.trial(subscribe=[{"max_demand": max(64, kit.unit), **given} for given in kit.subscribe]) as trial:
        for _ in range(2):
            trial.ask(2**63 - 1)

        def look() -> None:
            for edge in trial.outputs:
                asked, sent, acked = edge.counters
                if not 0 <= acked <= sent <= asked <= acked + edge.capacity:
                    raise Broken(f"asked {asked}, sent {sent}, acked {acked}", "counters that don't wrap", OURS)

        trial.drive(lambda: trial.received >= 1000, look)
        unharmed(trial, "asked for 2**63 - 1 twice")
        came(trial, 100, "for asks without limit")


CHECKS: dict[str, Callable[[Kit], None]] = {
    "3.1": from_any_thread,
    "3.2": asks_in_callbacks,
    "3.3": no_recursion,
    "3.4": ask_runs_nothing,
    "3.5": cancel_from_anywhere,
    "3.6": ask_after_cancel,
    "3.7": cancel_after_cancel,
    "3.8": asks_add_up,
    "3.9": nonsense_is_refused,
    "3.10": no_events_in_ask,
    "3.11": no_end_in_ask,
    "3.12": rest_after_cancel,
    "3.13": lets_go,
    "3.14": last_cancel,
    "3.15": cancel_returns_normally,
    "3.16": demand_is_answered_normally,
    "3.17": without_limit,
}
