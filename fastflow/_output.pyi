from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Self

from typing_extensions import disjoint_base

from fastflow._view import Form

# What is Any below is of a module or floor above: places, schemas, subscriptions, and the runtime's part of a place.

class HeldBack(MemoryError):
    size: int

@disjoint_base
class Turns:
    current: Any
    all_places: Callable[[], Iterable[Any]]
    failed: bool
    @property
    def places_held_back(self) -> int: ...

@disjoint_base
class Claim: ...

@disjoint_base
class Output:
    host: Any
    number: int
    unshuffled: bool
    def __new__(cls, turns: Turns, emits: bool) -> Self: ...
    @property
    def name(self) -> str: ...
    @property
    def form(self) -> Form | None: ...
    @property
    def schema(self) -> Any: ...
    def set_dispatcher(self, kind: int, partitions: int, queue_size: int) -> None: ...
    def later(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None: ...
    def set_schema(self, schema: Any) -> None: ...
    def refuse_claim(self) -> NoReturn: ...
    def refuse_whole(self, n: int) -> NoReturn: ...
    def held_back_claim(self, n: int) -> HeldBack: ...
