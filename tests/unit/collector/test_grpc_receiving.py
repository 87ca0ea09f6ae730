"""Places to receive gRPC messages: few, shared between keys, and never held for long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.exceptions import HTTPException

from collector.grpc_receiving import ReceivingSlots
from collector.limits import InflightBytes
from custodes.kernel.errors import MalformedError, OverloadedError
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import IngestSettings

# Eight places of 1,024 bytes, six of them for one key.
SETTINGS = IngestSettings(max_body_bytes=1024, max_inflight_bytes=24 * 1024, body_timeout_s=0.05)


def answering(message: object) -> Callable[[], Awaitable[object]]:
    async def read() -> object:
        return message

    return read


class TestReceive:
    def receive(self, message: object) -> tuple[bytes, int]:
        """Return what was received, and the bytes that are held for it."""

        async def main() -> tuple[bytes, int]:
            with InflightBytes(SETTINGS.max_inflight_bytes, Metrics()).open() as reservation:
                slots = ReceivingSlots(SETTINGS, Metrics())
                return await slots.receive("key:a", answering(message), reservation), reservation.size

        return asyncio.run(main())

    def test_a_message_counts_with_its_size(self) -> None:
        assert self.receive(b"abc") == (b"abc", 3)
        assert self.receive(b"") == (b"", 0)

    def test_a_stream_without_a_message_is_malformed(self) -> None:
        with pytest.raises(MalformedError, match="without a message"):
            self.receive(object())

    def test_a_message_that_does_not_arrive_is_408(self) -> None:
        async def main() -> None:
            with InflightBytes(SETTINGS.max_inflight_bytes, Metrics()).open() as reservation:
                await ReceivingSlots(SETTINGS, Metrics()).receive("key:a", asyncio.Event().wait, reservation)

        with pytest.raises(HTTPException) as caught:
            asyncio.run(main())
        assert caught.value.status_code == 408

    def test_while_it_arrives_it_counts_as_the_largest(self) -> None:
        async def main() -> None:
            account = InflightBytes(SETTINGS.max_inflight_bytes, Metrics())

            async def read() -> bytes:
                assert account._used == 1024
                return b"abc"

            with account.open() as reservation:
                await ReceivingSlots(SETTINGS, Metrics()).receive("key:a", read, reservation)

        asyncio.run(main())


class TestPlaces:
    def run(self, actors: list[str], refused: int, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
        """Let one request of each actor hold its place until ``refused`` are refused; return which got a place."""
        monkeypatch.setattr("collector.grpc_receiving.WAIT_S", 0.02)
        settings, metrics = SETTINGS.model_copy(update={"body_timeout_s": 30.0}), Metrics()

        async def main() -> list[object]:
            slots, account, release = (
                ReceivingSlots(settings, metrics),
                InflightBytes(1 << 20, metrics),
                asyncio.Event(),
            )

            async def read() -> bytes:
                await release.wait()
                return b""

            async def one(actor: str) -> bytes:
                with account.open() as reservation:
                    return await slots.receive(actor, read, reservation)

            tasks = [asyncio.create_task(one(actor)) for actor in actors]
            while sum(task.done() for task in tasks) < refused:
                waiting = [task for task in tasks if not task.done()]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            release.set()
            ends: list[object] = list(await asyncio.gather(*tasks, return_exceptions=True))
            assert not slots._shares
            assert account._used == 0
            return ends

        ends = asyncio.run(main())
        assert all(end == b"" or isinstance(end, OverloadedError) for end in ends)
        assert metrics.ingest_refusals.labels("grpc_receiving")._value.get() == refused
        return [end == b"" for end in ends]

    def test_there_are_so_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.run([f"key:{number}" for number in range(10)], 2, monkeypatch) == [True] * 8 + [False] * 2

    def test_no_key_has_all_of_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ends = self.run(["key:slow"] * 9 + ["key:other"] * 2, 3, monkeypatch)
        assert ends == [True] * 6 + [False] * 3 + [True] * 2

    def test_one_that_waits_gets_the_place_that_comes_free(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("collector.grpc_receiving.WAIT_S", 5.0)

        async def main() -> list[bytes]:
            slots, account = ReceivingSlots(SETTINGS, Metrics()), InflightBytes(1 << 20, Metrics())

            async def one(number: int) -> bytes:
                with account.open() as reservation:
                    return await slots.receive("key:a", answering(bytes([number])), reservation)

            return list(await asyncio.gather(*map(one, range(50))))

        assert asyncio.run(main()) == [bytes([number]) for number in range(50)]
