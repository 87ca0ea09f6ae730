"""The rule detectors as members of a profile: which there are, and which were switched off."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from detectors.contract import Detector
from detectors.errors import DetectorError
from detectors.rules.injection import InjectionDetector
from detectors.rules.injection_head import load_injection_head
from detectors.rules.language import LanguageDetector, Languages
from detectors.rules.privacy import personal_data_detector, secrets_detector
from detectors.rules.refusal import RefusalDetector, load_refusal_head
from detectors.rules.tone import ToneDetector

RULE_DETECTORS: Final = ("refusal", "negative_tone", "language", "pii", "secrets", "injection")
"""What may be switched off, in the order in which their metrics are listed."""


def load_rule_detectors(encoder_digest: str, *, without: Collection[str] = ()) -> list[Detector]:
    """Load the rule detectors except those named in ``without``.

    ``encoder_digest`` is that of the shared encoder, whose sentence vectors the small heads read. Raises DetectorError
    for an unknown name and ModelFileError for a head that is missing or made for another encoder.
    """
    unknown = sorted(set(without) - set(RULE_DETECTORS))
    if unknown:
        raise DetectorError(
            f"no rule detector {', '.join(unknown)} to switch off; there are {', '.join(RULE_DETECTORS)}"
        )
    wanted = [name for name in RULE_DETECTORS if name not in without]
    languages = Languages() if {"refusal", "negative_tone", "language"} & set(wanted) else None
    members: list[Detector] = []
    for name in wanted:
        if name == "refusal" and languages is not None:
            members.append(RefusalDetector(languages, load_refusal_head(encoder_digest)))
        elif name == "negative_tone" and languages is not None:
            members.append(ToneDetector(languages))
        elif name == "language" and languages is not None:
            members.append(LanguageDetector(languages))
        elif name == "pii":
            members.append(personal_data_detector())
        elif name == "secrets":
            members.append(secrets_detector())
        elif name == "injection":
            members.append(InjectionDetector(load_injection_head(encoder_digest)))
    return members
