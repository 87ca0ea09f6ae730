"""``pii`` and ``secrets``, with ``prompt_`` before them for the prompt: which values of which kinds a text holds.

Values are found by the package ``recognisers``, by which the collector masks as well. A score names kinds and places,
never a value. It is as high as the gravest kind found:

| value | kinds |
|---|---|
| 1.0 | cards, IBANs, national numbers, secrets with an issuer's mark |
| 0.9 | bank account numbers, passwords and keys that only a name beside them gives away |
| 0.8 | wallets |
| 0.7 | mail addresses, telephone numbers, dates of birth |
| 0.5 | IP and hardware addresses |
| 0.1 | mail addresses of an office (``info@``, ``support@``) alone |

``from_prompt`` is the share of the response's values that the prompt holds too: an address that the user gave is
repeated, one that they did not give has come from somewhere. Any language and script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import recognisers
from detectors.contract import Findings, SeenExchange
from detectors.model import (
    NO_PROMPT_TEXT,
    NO_RESPONSE_TEXT,
    PII,
    PROMPT_PII,
    PROMPT_SECRETS,
    SECRETS,
    DetectorIdentity,
    Exchange,
    Span,
)
from detectors.rules.texts import Verdict, rule_identity, score_text
from recognisers import PERSONAL_KINDS, RECOGNISERS, Recogniser, Value, find_values

VERSION: Final = "1.0.0"
FROM_PROMPT: Final = "from_prompt"
OFFICE_EMAIL: Final = "office_email"

_GRAVITY: Final[Mapping[str, float]] = MappingProxyType(
    {
        "card": 1.0,
        "iban": 1.0,
        "national_id": 1.0,
        "secret": 1.0,
        "bank_account": 0.9,
        "crypto_wallet": 0.8,
        "email": 0.7,
        "phone": 0.7,
        "birth_date": 0.7,
        "ip": 0.5,
        "mac_address": 0.5,
    }
)
_UNMARKED: Final = frozenset({"assigned_secret", "url_password"})
_UNMARKED_GRAVITY: Final = 0.9
_OFFICE_GRAVITY: Final = 0.1
_OFFICES: Final = frozenset({
    "info", "support", "sales", "contact", "help", "hello", "office", "admin", "noreply", "no-reply", "donotreply",
    "billing", "service", "team", "mail", "press", "jobs", "careers", "privacy", "legal", "security", "webmaster",
    "postmaster", "abuse", "newsletter", "marketing", "feedback", "orders", "returns", "customer", "customerservice",
    "customer.service", "kontakt", "kundenservice", "service-client", "enquiries", "inquiries", "reservations",
    "booking",
})  # fmt: skip


class ValuesDetector:
    """Answers one metric for the response and one for the prompt by the values that some recognisers find."""

    traits = ()
    head = None

    def __init__(self, name: str, metric: str, prompt_metric: str, chosen: Sequence[Recogniser]) -> None:
        self.metrics = (metric, prompt_metric)
        self._chosen = tuple(chosen)
        folder = Path(recognisers.__file__).parent
        files = (Path(__file__), *sorted(folder.glob("*.py")))
        kinds = ",".join(one.name for one in chosen)
        self.identities = (rule_identity(f"{name}/builtin", VERSION, *files, extra=kinds),)

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Nothing: it reads the text itself."""
        return ()

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Score response and prompt of each exchange."""
        (maker,) = self.identities
        return [self._judge_one(one.exchange, maker) for one in seen]

    def _judge_one(self, exchange: Exchange, maker: DetectorIdentity) -> Findings:
        metric, prompt_metric = self.metrics
        return Findings(
            (
                score_text(
                    metric, exchange.response, NO_RESPONSE_TEXT, maker, lambda text: self._judge(text, exchange.prompt)
                ),
                score_text(prompt_metric, exchange.prompt, NO_PROMPT_TEXT, maker, lambda text: self._judge(text, None)),
            )
        )

    def _judge(self, text: str, prompt: str | None) -> Verdict:
        values = find_values(text, self._chosen)
        if not values:
            return Verdict(0.0)
        gravities = [_gravity(value, text) for value in values]
        labels: dict[str, float] = {}
        for value, gravity in zip(values, gravities, strict=True):
            kind = _label(value, gravity)
            labels[kind] = max(labels.get(kind, 0.0), gravity)
        if prompt is not None:
            repeated = sum(text[value.start : value.end] in prompt for value in values)
            labels[FROM_PROMPT] = round(repeated / len(values), 4)
        spans = tuple(Span(value.start, value.end, gravity) for value, gravity in zip(values, gravities, strict=True))
        return Verdict(max(gravities), labels, spans)


def personal_data_detector() -> ValuesDetector:
    """Return the detector of ``pii`` and ``prompt_pii``; labels are kinds of personal data."""
    return ValuesDetector("pii", PII, PROMPT_PII, [one for one in RECOGNISERS if one.kind in PERSONAL_KINDS])


def secrets_detector() -> ValuesDetector:
    """Return the detector of ``secrets`` and ``prompt_secrets``; labels are the names of the recognisers."""
    return ValuesDetector("secrets", SECRETS, PROMPT_SECRETS, [one for one in RECOGNISERS if one.kind == "secret"])


def _gravity(value: Value, text: str) -> float:
    if value.name in _UNMARKED:
        return _UNMARKED_GRAVITY
    if value.kind == "email" and text[value.start : value.end].partition("@")[0].lower() in _OFFICES:
        return _OFFICE_GRAVITY
    return _GRAVITY[value.kind]


def _label(value: Value, gravity: float) -> str:
    if value.kind == "secret":
        return value.name
    return OFFICE_EMAIL if value.kind == "email" and gravity == _OFFICE_GRAVITY else value.kind
