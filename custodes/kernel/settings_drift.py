"""The settings of the drift monitors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from custodes.kernel.settings_section import Section

DriftMetric = Literal[
    "toxicity",
    "prompt_toxicity",
    "hallucination",
    "identity_attack",
    "refusal",
    "negative_tone",
    "pii",
    "prompt_pii",
    "secrets",
    "prompt_secrets",
    "prompt_injection",
    "context_injection",
    "inconsistency",
    "prompt_chars",
    "response_chars",
    "latency_ms",
    "ttft_ms",
    "cost_usd",
    "input_tokens",
    "output_tokens",
]
"""The numbers of an exchange that can be watched for drift; a test keeps this and the policies' vocabulary alike."""


class DriftSettings(Section):
    """Drift of prompts, responses and numbers away from a reference, for every deployment."""

    enabled: bool = Field(default=True, description="Watch for drift.")
    exchanges_per_false_alarm: int = Field(
        default=100_000,
        ge=100,
        description="Exchanges of a deployment to one false alarm on average, all its monitors together.",
    )
    reference_exchanges: int = Field(
        default=2_000, ge=64, le=12_288, description="First exchanges of a deployment that count as usual."
    )
    metrics: tuple[DriftMetric, ...] = Field(
        default=(
            "toxicity",
            "prompt_toxicity",
            "hallucination",
            "refusal",
            "negative_tone",
            "prompt_chars",
            "response_chars",
            "latency_ms",
            "input_tokens",
            "output_tokens",
        ),
        description="Numbers watched beside the embeddings of prompts and responses.",
    )
    interval_s: float = Field(
        default=15.0, gt=0, description="Seconds between looks at what has learned enough, and at new alarms."
    )
    severity: Literal["low", "medium", "high", "critical"] = Field(
        default="medium", description="Severity of the incidents that alarms open."
    )
    endpoints: tuple[str, ...] = Field(
        default=(), description='Endpoints that get drift.alarm, e.g. ["oncall"]; empty means all of the project.'
    )
    report_every_h: float = Field(
        default=0.0, ge=0, description="Hours between Evidently reports of each deployment; 0 makes none on schedule."
    )
    keep_days: int = Field(
        default=400,
        ge=1,
        description="Days for which courses, drift that is over, its reports and replaced references are kept.",
    )
    report_exchanges: int = Field(
        default=500, ge=64, le=10_000, description="Exchanges sampled for each side of an Evidently report."
    )
