"""Recipes: what a template and its options come to, found out once for all the stages that are started from it.

    template, options ──▶ Recipe ──▶ seat, seat, seat, ...      a million of them share it
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastflow._turn import BY_PARTITION, BY_PROTOCOL, TO_ALL, TO_GREEDIEST
from fastflow.dispatch import BroadcastDispatcher, DemandDispatcher, Dispatcher, PartitionDispatcher, dispatcher_of
from fastflow.schema import Schema
from fastflow.stage import ProducerConsumer, Stage, check_attributes, check_callbacks, kind_of

if TYPE_CHECKING:
    from fastflow._place import Place
    from fastflow.runtime.options import SubscriptionOptions
    from fastflow.runtime.runtime import Runtime
    from fastflow.runtime.seat import Seat

__all__ = ["Recipe"]


class Recipe:
    """A template with the options of its start.

    Parameters
    ----------
    runtime : Runtime
        Where its stages run.
    template : Stage
        What was given to `start`.
    options : dict
        Checked overrides of the stage's options.
    """

    def __init__(self, runtime: Runtime, template: Stage, options: dict[str, Any]) -> None:
        cls = type(template)
        self.runtime, self.template, self.options, self.cls = runtime, template, options, cls
        self.kind = kind_of(cls)
        self.emits, self.takes = cls._emits, cls._takes
        self.native = hasattr(cls, "make_kernel")
        self.sets_up = cls.setup is not Stage.setup
        self.hears_subscriptions = cls.handle_subscribe is not Stage.handle_subscribe
        self.hears_demand = self.kind == "producer" or (
            self.kind == "producer_consumer"
            and cls.handle_demand is not ProducerConsumer.handle_demand  # type: ignore[attr-defined]  # it emits
        )
        self.state = tuple(self.option("state"))
        self.base_name = cls.__name__
        self.checked: set[tuple[str, ...]] = set()
        self.shared = False             # whether more than one stage is started from it
        self.callbacks_checked = False
        self._joins: dict[Any, tuple[Any, Any, SubscriptionOptions]] = {}

    def option(self, name: str) -> Any:
        """An option: given at the start, else the class's."""
        return self.options.get(name, getattr(self.cls, name))

    def construct(self) -> Any:
        """A stage of the template's arguments, its attributes checked."""
        stage = self.cls(*self.template._arguments, **self.template._keywords)
        self.check(stage, "__init__")
        return stage

    def check(self, stage: Stage, when: str) -> None:
        """Refuse attributes that hide something; stages of one recipe mostly have the same."""
        names = tuple(vars(stage))
        if names not in self.checked:
            check_attributes(stage, when)
            self.checked.add(names)

    def own_options(self, stage: Stage) -> dict[str, Any]:
        """What this very stage says, and what was given at the start, which holds."""
        own = stage._own_options()
        return {**own, **self.options} if own else self.options

    def accepts(self, own: dict[str, Any]) -> Schema | None:
        """What a stage takes; None: anything."""
        accepts = own.get("accepts", self.cls.accepts)
        return None if accepts is None else Schema.of(accepts)

    def check_callbacks(self, stage: Stage) -> None:
        """Refuse a consumer that would not know what to do with events, once."""
        if not self.callbacks_checked:
            check_callbacks(stage)
            self.callbacks_checked = True

    def prepare(
        self, producer: Seat, schema: Schema | None, given: dict[str, Any], options: SubscriptionOptions
    ) -> None:
        """Remember checked options of a subscription for the next stages."""
        if self.shared:
            self._joins[producer, id(given)] = (given, schema, options)

    def prepared(self, producer: Seat, schema: Schema | None, given: dict[str, Any]) -> SubscriptionOptions | None:
        """The same options as checked before; None: they were not."""
        known = self._joins.get((producer, id(given))) if self.shared else None
        return known[2] if known is not None and known[0] is given and known[1] is schema else None

    def choose_dispatcher(self, place: Place) -> None:
        """Give a place that emits the dispatcher of its own that the options say."""
        given = self.option("dispatcher")
        if given is None:
            return
        dispatcher = dispatcher_of(given, self.cls.__name__)._fresh()
        kind, partitions, queue_size, shuffle = _as_numbers(dispatcher)
        place.choose(dispatcher, kind, partitions, queue_size, shuffle)


def _as_numbers(dispatcher: Dispatcher) -> tuple[int, int, int, bool]:
    """What carries a dispatcher out: kind, partitions, queue size (0: by demand), and whether to shuffle first."""
    if type(dispatcher) is DemandDispatcher:
        return TO_GREEDIEST, 0, 0, dispatcher.shuffle
    if type(dispatcher) is BroadcastDispatcher:
        return TO_ALL, 0, 0, False
    if type(dispatcher) is PartitionDispatcher:
        return BY_PARTITION, len(dispatcher.names), dispatcher.queue_size or 0, False
    return BY_PROTOCOL, 0, 0, False
