"""What a kind of receiver is: the settings it takes, and a pure function from an event to what is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from policies.errors import EndpointError
from policies.hooks.channels.event import Event


@dataclass(frozen=True, slots=True)
class Target:
    """Where to: the whole address, options that may be shown, and secrets that may not."""

    url: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One POST. ``url`` and ``headers`` may hold secrets."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailCall:
    """One message to an SMTP server: ``message`` is RFC 5322 bytes with CRLF line ends."""

    url: str
    sender: str
    recipients: tuple[str, ...]
    message: bytes = field(repr=False)
    starttls: bool = True
    username: str = ""
    password: str = field(default="", repr=False)


Call = HttpCall | MailCall


@dataclass(frozen=True, slots=True)
class Setting:
    """An option or a secret of a channel. ``check`` raises ``EndpointError`` for a value that cannot be used."""

    name: str
    description: str
    secret: bool = False
    required: bool = False
    check: Callable[[str], None] = lambda value: None


@dataclass(frozen=True, slots=True)
class Channel:
    """A kind of receiver.

    ``address`` says whether its address may be shown, is itself a secret, or is that of a mail server; ``default_url``
    stands in where none is given. ``tracks`` means that it keeps alerts open until told that they are over, and
    ``acknowledges`` that it wants to know when somebody takes an incident over; ``groups`` that incidents which began
    together come as one message; ``signs`` that calls carry Standard Webhooks signatures. ``format`` returns the calls
    to make in order; none means that this event is not told there.
    """

    kind: str
    title: str
    format: Callable[[Event, Target], tuple[Call, ...]]
    address: Literal["shown", "secret", "mail"] = "shown"
    default_url: str | None = None
    settings: tuple[Setting, ...] = ()
    signs: bool = False
    tracks: bool = False
    acknowledges: bool = False
    groups: bool = True

    def check_settings(self, options: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        """Raise ``EndpointError`` for settings that are unknown, missing or unusable; never showing a secret."""
        known = {one.name: one for one in self.settings}
        for given, secret in ((options, False), (secrets, True)):
            for name, value in given.items():
                setting = known.get(name)
                if setting is None or setting.secret is not secret:
                    raise EndpointError(self._unknown(name, secret=secret))
                if not value or len(value) > 1024 or not value.isprintable():
                    raise EndpointError(f"{name} of {self.kind} has 1 to 1024 printable characters")
                setting.check(value)
        for one in self.settings:
            if one.required and one.name not in (secrets if one.secret else options):
                raise EndpointError(f"{self.kind} needs the {_word(one.secret)} {one.name}: {one.description}")

    def _unknown(self, name: str, *, secret: bool) -> str:
        names = ", ".join(one.name for one in self.settings if one.secret is secret) or "none"
        return f"{self.kind} has no {_word(secret)} {name[:64]!r}; known are: {names}"


def _word(secret: bool) -> str:
    return "secret" if secret else "option"
