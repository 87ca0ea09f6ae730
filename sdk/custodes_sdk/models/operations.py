"""The server's own bookkeeping: webhook endpoints, detectors, the loss ledger and text coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from custodes_sdk.models.incidents import DeliveryAttempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Whether an endpoint rests: ``closed``, ``open`` (nothing is sent) or ``half_open`` (one message is tried)."""

    state: str = "closed"
    failures: int = 0
    open_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A receiver of messages. ``url`` is what may be shown of its address.

    ``secret`` is present only in answers that made it; ``pending`` and ``dead`` count messages in lists.
    """

    id: str
    url: str
    kind: str = "webhook"
    options: Mapping[str, str] = field(default_factory=dict)
    state: str = ""
    disabled_reason: str | None = None
    signs: bool = True
    breaker: Breaker = field(default_factory=Breaker)
    pending: int = 0
    dead: int = 0
    last_delivered_at: datetime | None = None
    last_failed_at: datetime | None = None
    last_error: str | None = None
    rotating_until: datetime | None = None
    created_at: datetime | None = None
    revision: int = 1
    secret: str | None = None
    public_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSetting:
    """An option of a kind of endpoints, or a secret."""

    name: str
    description: str = ""
    secret: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointKind:
    """A kind of endpoints; ``address`` is ``shown``, ``secret``, or ``mail`` for that of a mail server."""

    kind: str
    title: str = ""
    address: str = "shown"
    default_url: str | None = None
    signs: bool = False
    settings: tuple[EndpointSetting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointMessage:
    """One message to an endpoint with its attempts, without its body."""

    id: str
    event: str
    state: str
    incident_id: str | None = None
    attempts_used: int = 0
    created_at: datetime | None = None
    replayed_at: datetime | None = None
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    last_error: str | None = None
    attempts: tuple[DeliveryAttempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointTrial:
    """What a test message came to."""

    delivered: bool
    status: int | None = None
    detail: str = ""
    duration_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Messages that are sent again, and those left alone with the reason."""

    replayed: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """Messages that are gone for good, and those left alone with the reason."""

    discarded: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A detector that has scored traffic."""

    name: str
    version: str = ""
    digest: str = ""
    first_seen: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What became of everything that arrived: ``received`` = ``stored`` + ``duplicates`` + all ``rejected``."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    exchanges: int = 0
    assessed: int = 0
    not_assessed: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerMinute:
    """What became of what one service sent in one minute; otherwise as :class:`Ledger`."""

    minute: datetime
    service: str
    received: int = 0
    stored: int = 0
    duplicates: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    exchanges: int = 0
    assessed: int = 0
    not_assessed: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a million tokens of a model cost in USD. ``origin`` is ``project`` or ``default``, the list prices."""

    model: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    provider: str = ""
    cached_input_usd_per_mtok: float | None = None
    valid_from: datetime | None = None
    source: str = ""
    as_of: str | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How complete one service's telemetry is; ``hints`` say what its exporter should change, the first first.

    ``clock_skew_ms`` is positive when the service's clock is ahead of the server's, negative when it is behind or
    exports late. ``newest_traces`` is how many of its traces were looked at, ``None`` when all were.
    """

    service: str
    dialects: Mapping[str, int] = field(default_factory=dict)
    exchanges: int = 0
    with_text_ratio: float | None = None
    text_from_logs: int = 0
    dropped_attributes: int = 0
    unreadable: int = 0
    incomplete: int = 0
    missing_usage: int = 0
    missing_cost: int = 0
    logs_without_span: int = 0
    clock_skew_ms: int | None = None
    newest_traces: int | None = None
    hint: str | None = None
    hints: tuple[str, ...] = ()
