"""Bounds the memory of gRPC messages that are arriving.

A message is collected inside the gRPC library and its size is known only when it is whole. So each is taken for the
largest there may be until it is there, only a few are received at a time, and no key may have all of their places.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from collector.limits import Reservation
from custodes.kernel.errors import MalformedError, OverloadedError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings

WAIT_S = 5.0
"""How long a request waits for a place before it is refused, to be sent again."""

_FEWEST = 4
# The library holds a message in pieces, and joins copies of them, before it hands it over.
_COPIES = 3


@dataclass(slots=True)
class _Share:
    """The places of one key, and how many of its requests hold or want one."""

    places: asyncio.Semaphore
    users: int = 0


class ReceivingSlots:
    """Places to receive a message: a third of what may be in flight, at least four; three quarters for one key.

    Belongs to one event loop.
    """

    def __init__(self, settings: IngestSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._slots = max(_FEWEST, settings.max_inflight_bytes // (_COPIES * settings.max_body_bytes))
        self._places = asyncio.Semaphore(self._slots)
        self._shares: dict[str, _Share] = {}

    async def receive(self, actor: str, read: Callable[[], Awaitable[object]], reservation: Reservation) -> bytes:
        """Return the message of a request of the key ``actor``; ``reservation`` holds its bytes then.

        Raises ``OverloadedError`` when there is no room or no place comes free in time, a 408 when the message takes
        longer than ``body_timeout_s``, and ``MalformedError`` when the stream ends without one.
        """
        timeout_s, largest = self._settings.body_timeout_s, self._settings.max_body_bytes
        async with self._place(actor):
            reservation.grow(largest)
            try:
                async with asyncio.timeout(timeout_s):
                    message = await read()
            except TimeoutError as error:
                detail = f"the message did not arrive within {timeout_s:g} s; send it faster or in smaller parts"
                raise HTTPException(408, detail) from error
        if not isinstance(message, bytes):
            raise MalformedError("the stream ended without a message; send one Export request")
        reservation.shrink(largest - len(message))
        return message

    @asynccontextmanager
    async def _place(self, actor: str) -> AsyncIterator[None]:
        share = self._shares.setdefault(actor, _Share(asyncio.Semaphore(self._slots * 3 // 4)))
        share.users += 1
        try:
            try:
                async with asyncio.timeout(WAIT_S):
                    await share.places.acquire()
                    try:
                        await self._places.acquire()
                    except BaseException:
                        share.places.release()
                        raise
            except TimeoutError as error:
                self._metrics.ingest_refusals.labels("grpc_receiving").inc()
                raise OverloadedError("too many messages are arriving at once; send the request again") from error
            try:
                yield
            finally:
                self._places.release()
                share.places.release()
        finally:
            share.users -= 1
            if not share.users:
                del self._shares[actor]
