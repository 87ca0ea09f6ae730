"""Detectors that do one thing each, rightly or wrongly, for tests of what is built around detectors."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Sequence

from detectors.composition import Profile
from detectors.contract import Findings, Head, SeenExchange, TextFailure, TextReading, TextRequest
from detectors.errors import ModelFileError
from detectors.model import DetectorIdentity, Exchange, Trait, assessed

Judge = Callable[[SeenExchange], Findings]


def identity(name: str) -> DetectorIdentity:
    return DetectorIdentity(name, "1.0.0", "sha256:" + "ab" * 32)


class FakeDetector:
    """Answers every exchange by one function; counts the sizes of the batches it was asked about."""

    def __init__(
        self,
        name: str,
        judge: Judge | None = None,
        *,
        metrics: tuple[str, ...] | None = None,
        traits: tuple[str, ...] = (),
        head: Head | None = None,
        reads_response: bool = False,
    ) -> None:
        self.identities = (identity(f"{name}/fake"),)
        self.metrics = (name,) if metrics is None else metrics
        self.traits = traits
        self.head = head
        self.asked: list[int] = []
        self._judge = judge or self.answer_by_length
        self._reads_response = reads_response

    def texts(self, exchange: Exchange) -> Sequence[str]:
        return [exchange.response] if self._reads_response and exchange.response is not None else []

    def judge(self, seen: Sequence[SeenExchange]) -> Sequence[Findings]:
        self.asked.append(len(seen))
        return [self._judge(one) for one in seen]

    def answer_by_length(self, seen: SeenExchange) -> Findings:
        """Score the response by its length, so that answers can be told apart; every trait is the exchange's id."""
        value = min(1.0, len(seen.exchange.response or "") / 100)
        return Findings(
            tuple(assessed(metric, value, self.identities[0]) for metric in self.metrics),
            tuple(Trait(name, "assessed", None, {seen.exchange.id: 1.0}, self.identities[0]) for name in self.traits),
        )


class EchoReader:
    """Reads every text as an empty vector; hangs for ever on a text that says so."""

    def read(self, texts: Sequence[TextRequest]) -> list[TextReading | TextFailure]:
        if any(request.text == "hang reading" for request in texts):
            threading.Event().wait()
        return [TextReading(b"", None) for _ in texts]

    def forget(self) -> None:
        """Nothing is remembered."""


def misbehave(seen: SeenExchange) -> Findings:
    """Do what the response says, if it is one of the ways a detector can go wrong; else answer 0.5."""
    response = seen.exchange.response
    if response == "hang":
        threading.Event().wait()
    elif response == "hang holding the interpreter":
        re.match(r"(a+)+$", "a" * 64 + "b")
    elif response == "exit":
        os._exit(3)
    elif response == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif response == "throw":
        raise RuntimeError(f"my secret is {response}")
    elif response == "connect":
        socket.create_connection(("127.0.0.1", 9), timeout=0.1)
    elif response == "look up":
        socket.getaddrinfo("localhost", 80)
    elif response == "send":
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 9))
    elif response == "connect within":
        left, right = socket.socketpair()
        left.close()
        right.close()
    elif response == "environment":
        return Findings((assessed("bad", float(os.environ["HF_HUB_OFFLINE"]), identity("bad/fake")),))
    elif response == "nan":
        return Findings((assessed("bad", float("nan"), identity("bad/fake")),))
    return Findings((assessed("bad", 0.5, identity("bad/fake")),))


def load_fakes(*, gather_first: bool = False, refuse: bool = False, break_loading: bool = False) -> Profile:
    """Return a profile of a detector that misbehaves and one that reads texts and does not."""
    if refuse:
        raise ModelFileError("no weights here; fetch them")
    if break_loading:
        raise KeyError("a bug")

    class Gathering(FakeDetector):
        def judge(self, seen: Sequence[SeenExchange]) -> Sequence[Findings]:
            return super().judge(list(seen) if gather_first else seen)

    return Profile("fakes", [Gathering("bad", misbehave), FakeDetector("good", reads_response=True)], EchoReader())


def load_and_die() -> Profile:
    """End the process while it loads."""
    os._exit(1)
