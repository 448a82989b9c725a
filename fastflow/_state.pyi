from typing import Any, Self, final

from typing_extensions import disjoint_base

@final
class Pickled:
    def __new__(cls, data: bytes) -> Self: ...

@disjoint_base
class State:
    def __new__(cls, names: tuple[str, ...]) -> Self: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def check_size(self, stage: Any) -> None: ...
