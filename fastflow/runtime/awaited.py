"""Answers that an event loop waits for: calls by ``await``."""

from __future__ import annotations

import asyncio
from typing import Any

from fastflow._scheduler import Reply
from fastflow.errors import WaitTimeout

__all__ = ["AwaitedReply"]


class AwaitedReply(Reply):
    """A reply whose announcement resolves a future of the event loop that runs in this thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()

    def announce(self) -> None:
        """Wake the event loop; from any thread."""
        super().announce()
        try:
            self._loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            return                      # the event loop is closed: nobody waits any more

    def _resolve(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def answer(self, timeout: float | None, what: str) -> Any:
        """Wait while the event loop goes on; raises what the reply failed with, or WaitTimeout."""
        try:
            await asyncio.wait([self._future], timeout=timeout)
        finally:
            self._future.cancel()
        if not self.is_set:
            raise WaitTimeout(f"{what}: got none within {timeout} s; give a longer timeout, or see what keeps it")
        return self.wait(0.0)
