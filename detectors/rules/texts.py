"""What the rule detectors share: which texts they can read, and the digest that names their rules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from detectors.model import TEXT_TOO_LONG, DetectorIdentity, Score, Span, assessed, not_assessed

MAX_CHARACTERS: Final = 1_000_000
"""Longer texts are not assessed: they would hold up the others for seconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of one text: a value in [0, 1], what it consists of, and where in the text it stands."""

    value: float
    labels: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    spans: tuple[Span, ...] = ()


def score_text(
    metric: str, text: str | None, absent: str, maker: DetectorIdentity, judge: Callable[[str], Verdict | str]
) -> Score:
    """Return the score of one text by ``judge``, which answers a verdict or the reason for which there is none.

    ``absent`` is the reason where the text is missing or blank.
    """
    if text is None or not text.strip():
        return not_assessed(metric, absent, maker)
    if len(text) > MAX_CHARACTERS:
        return not_assessed(metric, TEXT_TOO_LONG, maker)
    verdict = judge(text)
    if isinstance(verdict, str):
        return not_assessed(metric, verdict, maker)
    return assessed(metric, verdict.value, maker, labels=verdict.labels, spans=verdict.spans)


def rule_identity(name: str, version: str, *files: Path, extra: str = "") -> DetectorIdentity:
    """Return an identity whose digest is over the files that hold the rules, in the order given, and ``extra``.

    A changed comment changes it too; a changed rule never goes unnoticed.
    """
    digest = hashlib.sha256(extra.encode())
    for path in files:
        digest.update(b"\0" + path.read_bytes())
    return DetectorIdentity(name, version, f"sha256:{digest.hexdigest()}")
