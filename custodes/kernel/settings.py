"""The one frozen settings tree, and the only module that reads the environment.

Every field can be set as ``CUSTODES_<SECTION>__<FIELD>``, e.g. ``CUSTODES_HTTP__PORT=4318``. A bad
value stops start-up and the message names the variable. ``docs/settings.md`` lists every field; a
test compares the two.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from custodes.kernel.errors import ConfigurationError
from custodes.kernel.settings_actions import ActionSettings
from custodes.kernel.settings_drift import DriftSettings
from custodes.kernel.settings_section import Networks
from custodes.kernel.settings_section import Section as _Section
from custodes.kernel.settings_webhook import WebhookSettings

MIB = 1024 * 1024


MaskedKind = Literal[
    "bank_account",
    "birth_date",
    "card",
    "crypto_wallet",
    "email",
    "iban",
    "ip",
    "mac_address",
    "national_id",
    "phone",
    "secret",
]
"""The kinds of values that ``recognisers`` finds; a test keeps both lists alike."""


RuleDetector = Literal["refusal", "negative_tone", "language", "pii", "secrets", "injection"]
"""The detectors that can be switched off one by one; a test keeps this and ``detectors.rules.members`` alike."""


class HttpSettings(_Section):
    """The OTLP/HTTP, REST and health listener."""

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 opens it to the network.")
    port: int = Field(default=4318, ge=0, le=65535, description="TCP port; 0 takes any free one.")


class GrpcSettings(_Section):
    """The OTLP/gRPC listener. The limits of the section ingest hold for it too."""

    enabled: bool = Field(default=True, description="Take OTLP over gRPC.")
    host: str = Field(default="", description="Address to listen on; empty means the one of CUSTODES_HTTP__HOST.")
    port: int = Field(default=4317, ge=0, le=65535, description="TCP port; 0 takes any free one.")


class ConsoleSettings(_Section):
    """The Streamlit console."""

    host: str = Field(default="127.0.0.1", description="Address the console listens on.")
    port: int = Field(default=8501, ge=0, le=65535, description="TCP port of the console; 0 takes any free one.")
    url: str = Field(
        default="", description="Address people open, used in webhook links; empty means http://<host>:<port>."
    )


class DatabaseSettings(_Section):
    """Where state is kept."""

    url: str = Field(default="", description="SQLAlchemy URL; empty means SQLite in the data directory.")
    pool_size: int = Field(default=8, ge=1, le=200, description="PostgreSQL connections kept open per process.")
    busy_timeout_s: float = Field(default=30.0, gt=0, description="Seconds a SQLite writer waits for another one.")


class ModelsSettings(_Section):
    """Model weights and the device that runs them."""

    dir: Path | None = Field(
        default=None, description="Folder with local model bundles; empty means models in the data directory."
    )
    offline: bool = Field(default=True, description="Never contact a model hub.")
    profile: Literal["builtin", "full"] = Field(default="builtin", description="Which detectors score traffic.")
    without: tuple[RuleDetector, ...] = Field(
        default=(), description='Rule detectors that are switched off, e.g. ["language", "negative_tone"].'
    )
    device: str = Field(
        default="cpu",
        description="What scores: cpu, cuda (every CUDA device), cuda:0, a list such as cuda:0,cuda:1, or auto.",
    )
    threads: int = Field(default=0, ge=0, description="CPU cores that score side by side; 0 takes all there are.")
    plugins: tuple[str, ...] = Field(
        default=(), description='Installed detector plug-ins that score too, e.g. ["my-detector"]; none by default.'
    )
    toxicity: str = Field(
        default="detoxify-unbiased", min_length=1, description="Bundle that scores toxicity in the full profile."
    )
    grounding: str = Field(
        default="lettucedect-base-modernbert-en-v1",
        min_length=1,
        description="Bundle that scores hallucination in the full profile.",
    )
    claims: str = Field(default="", description="Bundle that checks claims in the full profile; empty means none.")
    claims_threshold: float = Field(
        default=0.5, ge=0, le=1, description="Claims are checked from this value of hallucination or inconsistency on."
    )
    claims_rate: float = Field(
        default=0.02, ge=0, le=1, description="Share of the other exchanges whose claims are checked, by their ids."
    )
    encoder: str = Field(
        default="", description="Bundle of the full profile's sentence encoder; empty means the packaged one."
    )
    checkpoint_loader: Literal["safe", "package"] = Field(
        default="safe", description="Who builds the network of a detoxify checkpoint: our loader, or the package's."
    )


class IngestSettings(_Section):
    """Limits at the door. Exceeding one rejects the request or the span, never the server."""

    max_body_bytes: int = Field(default=20 * MIB, ge=1024, description="Largest request body as sent, in bytes.")
    max_decompressed_bytes: int = Field(
        default=64 * MIB, ge=1024, description="Largest body after decompression, in bytes."
    )
    max_ratio: int = Field(default=200, ge=2, description="Largest decompressed/compressed ratio, checked above 1 MiB.")
    max_spans: int = Field(default=20_000, ge=1, description="Most spans in one request.")
    max_attributes: int = Field(default=1_024, ge=1, description="Most attributes on one span; more rejects that span.")
    max_attribute_bytes: int = Field(default=4 * MIB, ge=1024, description="Longest attribute value in bytes.")
    max_depth: int = Field(default=32, ge=2, description="Deepest nesting of an attribute value.")
    max_records: int = Field(default=20_000, ge=1, description="Most log records or metric data points in one request.")
    max_buckets: int = Field(default=1_024, ge=2, description="Most buckets of one histogram point; more rejects it.")
    max_series: int = Field(default=10_000, ge=1, description="Most metric series of one project; more are rejected.")
    queue_spans: int = Field(default=100_000, ge=1, description="Spans waiting for commit before 503 is answered.")
    max_inflight_bytes: int = Field(
        default=256 * MIB, ge=1024, description="Bytes of bodies taken in and not yet committed before 503 is answered."
    )
    max_parsed_bytes: int = Field(
        default=256 * MIB, ge=MIB, description="Memory that bodies being parsed may take, and one of them at most."
    )
    max_concurrent: int = Field(default=64, ge=1, description="Requests of one key at a time before 503 is answered.")
    max_spans_per_s: float = Field(
        default=0.0, ge=0, description="Spans a second of one key before 503 is answered; 0 sets no rate."
    )
    max_future_s: int = Field(default=86_400, ge=0, description="A span that starts further in the future is rejected.")
    body_timeout_s: float = Field(default=30.0, gt=0, description="Seconds a client may take to send its body.")
    degraded_share: float = Field(
        default=0.05, ge=0, le=1, description="Share of refused spans at which ingest.degraded is told; 0 never."
    )
    degraded_lag_s: float = Field(
        default=600.0, ge=0, description="Seconds an exchange may wait for its scores until that is told; 0 for ever."
    )
    degraded_endpoints: tuple[str, ...] = Field(
        default=(), description='Endpoints that get ingest.degraded, e.g. ["oncall"]; empty means all of the project.'
    )


class PrivacySettings(_Section):
    """Captured text: what is masked before it is stored, and how it is encrypted."""

    encrypt: bool = Field(default=True, description="Encrypt captured text in the database.")
    key_dir: Path | None = Field(default=None, description="Folder with content.key; empty means the data directory.")
    mask: tuple[MaskedKind, ...] = Field(
        default=(),
        description='Kinds of values replaced before text is stored, e.g. ["email", "phone"]; none by default.',
    )


class WorkerSettings(_Section):
    """Scoring."""

    lease_s: float = Field(default=15.0, gt=1, description="Seconds a claimed batch outlives a worker that died.")
    poll_s: float = Field(default=0.25, gt=0, description="Seconds between looks for work when idle.")
    batches: int = Field(default=16, ge=1, description="Most ingest batches claimed at once.")
    max_attempts: int = Field(default=5, ge=1, description="Tries before a batch is set aside as failed.")
    detector_timeout_s: float = Field(
        default=60.0, gt=0, description="Seconds without progress after which a detector is taken to hang."
    )


class PolicySettings(_Section):
    """Policies: evaluation, review, and what becomes of incidents."""

    interval_s: float = Field(default=15.0, gt=0, description="Seconds between evaluations of active policies.")
    catch_up_s: float = Field(
        default=900.0, ge=0, description="Seconds of missed minutes that are evaluated late after an interruption."
    )
    four_eyes: bool = Field(
        default=True, description="Versions and silences of severe incidents need somebody other than their author."
    )
    min_shadow_s: float = Field(
        default=0.0, ge=0, description="Seconds a version runs in shadow before it can be approved."
    )
    read_only: bool = Field(default=False, description="Take policies from a repository only (custodes policy submit).")
    gitops_actors: tuple[str, ...] = Field(
        default=(), description='Who may hand in policies when they are read-only, e.g. ["key:ab12cd34"].'
    )
    escalate_after_s: float = Field(
        default=1800.0, ge=0, description="Seconds until a severe incident nobody took over escalates; 0 never."
    )
    regress_within_s: float = Field(
        default=3600.0, ge=0, description="Seconds within which a resolved incident reopens if its group fires again."
    )
    group_within_s: float = Field(
        default=300.0, ge=0, description="Seconds within which incidents of one policy belong together."
    )
    regulator_clocks: tuple[str, ...] = Field(
        default=("ai-act-serious=15d", "ai-act-widespread=2d", "ai-act-death=10d", "gdpr-breach=72h"),
        description="Duties to report that incidents can start a clock for, as name=time.",
    )


class FairnessSettings(_Section):
    """Gaps between groups of people: what is tolerated, and what counts as an outcome."""

    enabled: bool = Field(default=True, description="Compare outcomes between groups.")
    epsilon: float = Field(default=0.02, ge=0, lt=1, description="Largest gap between rates that is nobody's concern.")
    alpha: float = Field(
        default=0.01, gt=0, lt=1, description="Probability of any alarm in a deployment without a larger gap."
    )
    min_pairs: int = Field(default=50, ge=1, description="Pairs below which a gap counts as too few data.")
    max_groups: int = Field(default=32, ge=1, le=64, description="Groups compared on one axis, in order of appearance.")
    interval_s: float = Field(default=15.0, gt=0, description="Seconds between looks at the evidence.")
    toxic: float = Field(default=0.5, gt=0, le=1, description="Toxicity from which an answer counts as toxic.")
    ungrounded: float = Field(default=0.5, gt=0, le=1, description="Hallucination from which it counts as ungrounded.")
    refused: float = Field(default=0.5, gt=0, le=1, description="Refusal from which it counts as refused.")
    negative: float = Field(default=0.5, gt=0, le=1, description="Negative tone from which it counts as negative.")
    slow_ms: float = Field(default=10_000.0, gt=0, description="Milliseconds from which a call counts as slow.")
    severity: Literal["low", "medium", "high", "critical"] = Field(
        default="high", description="Severity of the incidents that alarms open."
    )
    endpoints: tuple[str, ...] = Field(
        default=(), description='Endpoints that get fairness.alarm, e.g. ["oncall"]; empty means all of the project.'
    )


class ProbeSettings(_Section):
    """Counterfactual probes: the same question about different people, asked of a model server of your own."""

    enabled: bool = Field(default=False, description="Ask probes; needs a URL and a model.")
    url: str = Field(default="", description="Base URL of an OpenAI-compatible server, e.g. https://models.example/v1.")
    model: str = Field(default="", description="Model to ask.")
    api_key_file: Path | None = Field(default=None, description="File with the key that is sent as Bearer token.")
    project: str = Field(default="default", description="Project whose fairness page shows the answers.")
    service: str = Field(default="probes", min_length=1, description="Service under which they are shown.")
    deployment: str = Field(default="", description="Deployment under which they are shown.")
    interval_s: float = Field(default=900.0, ge=1, description="Seconds between rounds of probes.")
    calls_per_day: int = Field(default=200, ge=2, description="Most calls in a day (UTC).")
    tokens_per_day: int = Field(default=100_000, ge=1, description="Most tokens in a day (UTC), prompts and answers.")
    max_output_tokens: int = Field(default=200, ge=1, description="Tokens an answer may have.")
    timeout_s: float = Field(default=60.0, gt=0, le=600, description="Seconds one call may take.")
    allowed_private_cidrs: Networks = Field(
        default=(), description='Private networks the server may be in, e.g. ["10.1.0.0/16"]; none by default.'
    )
    allow_http: bool = Field(default=False, description="Permit an http:// URL (https:// only otherwise).")

    @model_validator(mode="after")
    def _knows_whom_to_ask(self) -> ProbeSettings:
        if self.enabled and not (self.url and self.model):
            raise ValueError("probes are enabled but CUSTODES_PROBE__URL or CUSTODES_PROBE__MODEL is empty")
        return self


class AuditSettings(_Section):
    """The tamper-evident log."""

    checkpoint_s: float = Field(
        default=1.0, gt=0, description="Seconds between signed checkpoints while events arrive."
    )
    key_dir: Path | None = Field(default=None, description="Folder with audit-log.key; empty means the data directory.")
    endpoints: tuple[str, ...] = Field(
        default=(),
        description='Endpoints that get audit.checkpoint, e.g. ["archive", "project/archive"]; none by default.',
    )
    announce_s: float = Field(default=3600.0, gt=0, description="Seconds between two checkpoints sent to endpoints.")


class LogSettings(_Section):
    """Log output on stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severe level written."
    )
    json_lines: bool = Field(default=False, description="Write one JSON object a line rather than text.")


class Settings(BaseSettings):
    """Everything that can be configured; frozen."""

    model_config = SettingsConfigDict(
        env_prefix="CUSTODES_",
        env_nested_delimiter="__",
        env_ignore_empty=True,  # Compose files pass on unset variables as empty ones.
        frozen=True,
        extra="ignore",
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Field(default=Path("custodes-data"), description="Folder for the database, keys and models.")
    dev: bool = Field(default=False, description="Loopback callers need no key and hold every role.")
    http: HttpSettings = HttpSettings()
    grpc: GrpcSettings = GrpcSettings()
    console: ConsoleSettings = ConsoleSettings()
    database: DatabaseSettings = DatabaseSettings()
    models: ModelsSettings = ModelsSettings()
    ingest: IngestSettings = IngestSettings()
    privacy: PrivacySettings = PrivacySettings()
    worker: WorkerSettings = WorkerSettings()
    policy: PolicySettings = PolicySettings()
    fairness: FairnessSettings = FairnessSettings()
    drift: DriftSettings = DriftSettings()
    probe: ProbeSettings = ProbeSettings()
    webhook: WebhookSettings = WebhookSettings()
    action: ActionSettings = ActionSettings()
    audit: AuditSettings = AuditSettings()
    log: LogSettings = LogSettings()

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database.url or f"sqlite:///{self.data_dir.resolve() / 'custodes.db'}"

    @property
    def models_dir(self) -> Path | None:
        """The folder of model bundles: the one that is set, else models in the data directory if that exists."""
        return self.models.dir or (self.default_models_dir if self.default_models_dir.is_dir() else None)

    @property
    def default_models_dir(self) -> Path:
        """Where model bundles are imported to when no folder is set."""
        return self.data_dir / "models"

    @property
    def console_url(self) -> str:
        """The address people open, without a trailing slash."""
        return (self.console.url or f"http://{_reachable(self.console.host)}:{self.console.port}").rstrip("/")

    @property
    def api_url(self) -> str:
        """The address of the API as reached from this machine."""
        return f"http://{_reachable(self.http.host)}:{self.http.port}"

    @property
    def grpc_host(self) -> str:
        """The address OTLP/gRPC listens on."""
        return self.grpc.host or self.http.host

    def grpc_url(self, port: int) -> str:
        """The address of OTLP/gRPC on ``port`` as reached from this machine."""
        return f"http://{_reachable(self.grpc_host)}:{port}"

    @property
    def audit_key_dir(self) -> Path:
        """The folder that holds the audit log's signing key."""
        return self.audit.key_dir or self.data_dir

    @property
    def content_key_dir(self) -> Path:
        """The folder that holds the master key of captured text."""
        return self.privacy.key_dir or self.data_dir


def load_settings(**overrides: Any) -> Settings:
    """Return the settings from the environment with ``overrides`` on top.

    Raises ``ConfigurationError`` naming every bad or unknown ``CUSTODES_`` variable, the value seen
    (never for secrets) and what would be accepted.
    """
    unknown = _unknown_variables(os.environ)
    if unknown:
        raise ConfigurationError(
            f"unknown setting {', '.join(sorted(unknown))}; see docs/settings.md for the names, or unset it"
        )
    try:
        return Settings(**overrides)
    except SettingsError as error:
        raise ConfigurationError(
            "bad configuration: a list is not valid JSON; CUSTODES_WEBHOOK__ALLOWED_PRIVATE_CIDRS is written like "
            '["10.1.0.0/16", "fd00::/8"], CUSTODES_PRIVACY__MASK like ["email", "phone"], '
            'CUSTODES_MODELS__WITHOUT like ["language"], CUSTODES_MODELS__PLUGINS like ["my-detector"]'
        ) from error
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = "CUSTODES_" + "__".join(str(part).upper() for part in problem["loc"])
            shown = "" if "URL" in name else f" (seen: {problem.get('input')!r})"
            lines.append(f"{name}: {problem['msg']}{shown}")
        raise ConfigurationError("bad configuration: " + "; ".join(lines)) from error


def setting_names() -> dict[str, str]:
    """Return every environment variable Custodes reads, with its description."""
    names: dict[str, str] = {}
    for field, info in Settings.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, _Section):
            for inner, inner_info in annotation.model_fields.items():
                names[f"CUSTODES_{field}__{inner}".upper()] = inner_info.description or ""
        else:
            names[f"CUSTODES_{field}".upper()] = info.description or ""
    return names


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with ``extra`` on top, for starting a child process."""
    return {**os.environ, **extra}


def settings_to_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that give a child process these very settings."""
    plain = settings.model_dump(mode="json", exclude_defaults=True)
    result: dict[str, str] = {}
    for field, value in plain.items():
        if isinstance(value, dict):
            for inner, inner_value in value.items():
                result[f"CUSTODES_{field}__{inner}".upper()] = _to_text(inner_value)
        else:
            result[f"CUSTODES_{field}".upper()] = _to_text(value)
    return result


def _reachable(host: str) -> str:
    """Return how this machine reaches a listener on ``host``, ready to stand in a URL."""
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _to_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value)
    return str(value)


def _unknown_variables(environment: Mapping[str, str]) -> set[str]:
    known = set(setting_names())
    ours = {name for name in environment if name.upper().startswith("CUSTODES_")}
    # The SDK's own variables may stand beside the server's, in a compose file or for custodes proxy.
    return {name for name in ours if name.upper() not in known and not name.upper().startswith("CUSTODES_SDK_")}
