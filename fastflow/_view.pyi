from typing import Any, Self, final

from typing_extensions import disjoint_base

@disjoint_base
class Form:
    # The schema is a fastflow.schema.Schema, of a floor above.
    def __new__(cls, schema: Any) -> Self: ...
    @property
    def schema(self) -> Any: ...

@final
class Views:
    def __new__(cls, form: Form, writable: bool, keeper: str) -> Self: ...

def _patching_works() -> bool: ...
