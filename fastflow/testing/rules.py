"""The 43 rules of Reactive Streams, in fastflow's words, and how each is looked at.

    1.1 to 1.11   what a producer owes its consumers
    2.1 to 2.13   what a consumer owes its producers
    3.1 to 3.17   what a subscription is: ask and cancel
    4.1, 4.2      a producer_consumer owes both

This is the table and nothing else; `fastflow.testing.conformance` looks.  The numbers are those of [1]_.

References
----------
.. [1] Reactive Streams for the JVM, version 1.0.4, 2022.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["RULES", "Rule", "Side"]

#: Which stages a rule concerns: those that emit, those that take events, or those that do both.
Side = Literal["emits", "takes", "both"]


class Rule(NamedTuple):
    """One rule.

    Attributes
    ----------
    number : str
        As in the specification.
    side : {"emits", "takes", "both"}
        Which stages it concerns.
    verdict : {"kept", "declared", "differs"}
        What a stage gets with which nothing is wrong.
    by : {"stage", "runtime"}
        Who can break it.  What the runtime sees to holds for every stage; it is looked at all the same.
    meaning : str
        The rule, in one line.
    how : str
        How it is looked at; why it can't be; or what is otherwise here, on purpose.
    """

    number: str
    side: Side
    verdict: Literal["kept", "declared", "differs"]
    by: Literal["stage", "runtime"]
    meaning: str
    how: str


_TABLE = (
    Rule("1.1", "emits", "kept", "runtime",
         "no more events are sent than were asked for, on each subscription, at any moment",
         "asks for 1, 2, 7 and 1000; looks at the counters and at what came after every turn"),
    Rule("1.2", "emits", "kept", "stage",
         "a producer with fewer events than were asked for sends those it has, and then ends",
         "one large ask must bring all that asks for one event at a time bring; `expected` events, if you say"),
    Rule("1.3", "emits", "kept", "runtime",
         "what a consumer hears comes one call after the other, on one thread",
         "a consumer with a flag for nested calls, in all of the first part"),
    Rule("1.4", "emits", "kept", "stage",
         "a producer that fails says so: each consumer hears the very error",
         "makes it fail before and between events; and what `failing` makes must not end normally"),
    Rule("1.5", "emits", "kept", "stage",
         "a producer whose events are over ends normally",
         "asks on until the end, which must be normal; with endless=True there is nothing to look at"),
    Rule("1.6", "emits", "kept", "runtime",
         "an end closes the subscription",
         "after the end, normal or by stop(), it is closed and off the list of subscriptions"),
    Rule("1.7", "emits", "kept", "runtime",
         "nothing comes after the end",
         "asks, sends messages and lets an hour pass after the end"),
    Rule("1.8", "emits", "kept", "runtime",
         "a subscription that was cancelled falls silent",
         "cancels with events in flight; none may come after that"),
    Rule("1.9", "emits", "kept", "stage",
         "subscribing returns normally, and handle_subscribe comes before everything else; no stage is a TypeError",
         "subscribes; looks at the order; subscribes to None, which must leave the stage as it was"),
    Rule("1.10", "emits", "differs", "stage",
         "one consumer subscribes to a producer once",
         "here it may twice, and each subscription counts by itself, or it is refused; the first goes on"),
    Rule("1.11", "emits", "kept", "stage",
         "the dispatcher alone decides which consumer gets which events",
         "two consumers, both from the start and one late, by ones and all at once: nothing lost, nothing doubled"),
    Rule("2.1", "takes", "kept", "stage",
         "a consumer asks for events, and gets none that it didn't ask for",
         "all sample events must be asked for and handled, unless it ends before; made not to ask, it gets none"),
    Rule("2.2", "takes", "declared", "stage",
         "a consumer doesn't hold up its producer",
         "how long a callback may take is yours to say: there is no limit to hold it against"),
    Rule("2.3", "takes", "kept", "stage",
         "in handle_cancel and handle_end, nothing is asked of the subscription that has ended",
         "listens to ask and cancel while its callbacks run, at a normal end, a failure and a cancel"),
    Rule("2.4", "takes", "kept", "stage",
         "after its end, nothing is asked of a subscription any more",
         "one of two producers ends, the other goes on: listens for asks on the first"),
    Rule("2.5", "takes", "differs", "stage",
         "a consumer has one producer at a time",
         "here it may have several: a second subscription is served, or refused without harm to the first"),
    Rule("2.6", "takes", "kept", "runtime",
         "a consumer that needs no more cancels",
         "stops it in the middle; its producer must hear of it, once"),
    Rule("2.7", "takes", "kept", "runtime",
         "asks on one subscription don't get in each other's way",
         "asks from eight threads at once add up exactly"),
    Rule("2.8", "takes", "kept", "runtime",
         "events still under way at a cancel do no harm, and are not lost",
         "cancels with events in flight: none is handled, all go back to the producer"),
    Rule("2.9", "takes", "kept", "stage",
         "a normal end is taken, whether anything was asked for or not",
         "a producer without events, one that has ended before, and one with events"),
    Rule("2.10", "takes", "kept", "stage",
         "a failure is taken, whether anything was asked for or not, and hidden behind no other",
         "a producer that fails before and after its events; the stage must end with that error, or as `cancel` says"),
    Rule("2.11", "takes", "kept", "stage",
         "a batch is whole when it comes, and doesn't change while it is handled or kept",
         "keeps each batch, compares it after the callback, at the end, and all the while from another thread"),
    Rule("2.12", "takes", "kept", "runtime",
         "handle_subscribe is called once a subscription, before its events",
         "counts"),
    Rule("2.13", "takes", "kept", "stage",
         "callbacks return normally and give back what they may; a failure cancels and is reported",
         "the samples must be handled without an error; then makes callbacks fail: the producers must hear the error"),
    Rule("3.1", "emits", "differs", "runtime",
         "ask and cancel are for the consumer's own callbacks",
         "here any thread may: what comes from another one is mail to the thread that drives"),
    Rule("3.2", "emits", "kept", "runtime",
         "a consumer may ask in handle_subscribe and handle_events",
         "a consumer that does nothing else gets its events"),
    Rule("3.3", "emits", "kept", "runtime",
         "an ask in a callback doesn't recurse",
         "asks for one more at each event, a thousand times: the stack stays as it is"),
    Rule("3.4", "emits", "kept", "runtime",
         "ask returns at once: it runs none of the stage's code",
         "a thousand asks, and no callback and no turn between them"),
    Rule("3.5", "emits", "kept", "runtime",
         "cancel may come from any thread, at any time, more than once",
         "cancels from eight threads at once: handle_cancel is called once"),
    Rule("3.6", "emits", "kept", "runtime",
         "an ask after a cancel does nothing",
         "asks after a cancel: no error, no event, the counters as they were"),
    Rule("3.7", "emits", "kept", "runtime",
         "a cancel after a cancel does nothing",
         "cancels twice: no error, handle_cancel once"),
    Rule("3.8", "emits", "kept", "stage",
         "asks add up, and all of it is answered",
         "asks for 1 to 100 make 5050; then for 1, 2 and 7: ten events must come, if there are so many"),
    Rule("3.9", "emits", "differs", "runtime",
         "an ask for nothing or less is an error of the stream",
         "here it is an error at the caller, the stream unharmed, and ask(0) does nothing: 0, -1, -2**63, NaN, True"),
    Rule("3.10", "emits", "kept", "runtime",
         "ask may deliver before it returns",
         "it never does: nothing comes before the next turn"),
    Rule("3.11", "emits", "kept", "runtime",
         "ask may end the stream before it returns",
         "it never does: no end comes before the next turn"),
    Rule("3.12", "emits", "kept", "stage",
         "a producer whose subscriptions are cancelled comes to rest",
         "cancels all: after a bounded number of turns nothing moves while the clock stands still"),
    Rule("3.13", "emits", "kept", "stage",
         "a producer lets go of a subscription that was cancelled",
         "a weak reference to it is dead after a cancel and a collection"),
    Rule("3.14", "emits", "kept", "stage",
         "the last cancel may end a producer; else it serves the next consumer",
         "cancels the last, subscribes another: events or an end must come"),
    Rule("3.15", "emits", "kept", "stage",
         "cancel returns normally: handle_cancel doesn't fail",
         "cancels before and between events; the stage must not fail by it"),
    Rule("3.16", "emits", "kept", "stage",
         "ask returns normally: handle_demand doesn't fail",
         "asks for 1, 2, 7 and 1000; the stage must not fail by it"),
    Rule("3.17", "emits", "kept", "runtime",
         "asks go up to 2**63 - 1, and beyond that they are without limit",
         "asks for 2**63 - 1 twice: the counters don't wrap, events come"),
    Rule("4.1", "both", "kept", "stage",
         "a producer_consumer obeys the rules of both sides, and passes back-pressure on",
         "all of parts 1 and 2; and when nobody asks it, nothing comes and no more than max_demand is asked for"),
    Rule("4.2", "both", "kept", "stage",
         "a failure upstream is passed on, behind the events before it, unless the stage is to survive it",
         "its producer fails: its consumers must hear that error; with cancel='temporary' they must hear none"),
)  # fmt: skip

#: All of them, by number, in order.
RULES: dict[str, Rule] = {rule.number: rule for rule in _TABLE}
