from typing import Any

import numpy as np
import numpy.typing as npt

from fastflow._sender import Sender

class Router(Sender):
    def scatter_objects(self, events: list[Any], first: int, ids: npt.NDArray[np.uint8 | np.int32]) -> None: ...
    def demands(self) -> dict[Any, int]: ...
    def serve_protocol(self) -> int: ...
