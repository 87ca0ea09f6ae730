"""Places between two things that an action does, at which a process can die or be held up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from custodes.db import Database, ReadTx, WriteTx
from policies.actions.http import Answer, JsonClient, NoAnswer

Happen = Callable[[str], None]
"""Called at every place with its name: ``begin``, ``commit``, ``committed``, ``call`` or ``called``."""


class FaultyDatabase:
    """A database that tells of every unit of work before it, at its end, and after its commit."""

    def __init__(self, database: Database, happen: Happen) -> None:
        self._database = database
        self._happen = happen

    @contextmanager
    def read(self) -> Iterator[ReadTx]:
        with self._database.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[WriteTx]:
        self._happen("begin")
        with self._database.write() as tx:
            yield tx
            self._happen("commit")
        self._happen("committed")


class FaultyClient:
    """A client that tells of every call before and after it."""

    def __init__(self, client: JsonClient, happen: Happen) -> None:
        self._client = client
        self._happen = happen

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **more: Any) -> Answer | NoAnswer:
        self._happen("call")
        answer = self._client.call(method, path, body, **more)
        self._happen("called")
        return answer


class Nth:
    """Does something at the nth place, of those whose names count."""

    def __init__(self, n: int, do: Callable[[], None], names: frozenset[str] | None = None) -> None:
        self._left = n
        self._do = do
        self._names = names
        self.done = False

    def __call__(self, name: str) -> None:
        if self._names is not None and name not in self._names:
            return
        if self._left == 0 and not self.done:
            self.done = True
            self._do()
        self._left -= 1
