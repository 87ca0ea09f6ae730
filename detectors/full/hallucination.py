"""``hallucination`` of the ``full`` profile: a token classifier for every exchange, a claim checker for some.

The value and the spans are always the token classifier's, so that every exchange is on one scale and a rise of the mean
means something. Where the claim checker was asked as well, what it says stands beside it as labels, with how far the
two are apart. Two models that disagree are worth a person's look; one number made of both would hide that.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from detectors.contract import Findings, SeenExchange, TextFailure
from detectors.full.claims import ClaimChecker, ClaimQuestion, ClaimReading
from detectors.full.description import Description
from detectors.full.escalation import Escalation
from detectors.full.grounding import GroundingReader
from detectors.model import HALLUCINATION, DetectorIdentity, Exchange, assessed, not_assessed

_LOG = logging.getLogger(__name__)

NAME: Final = "hallucination/full"
VERSION: Final = "1.0.0"
CLAIM_UNSUPPORTED: Final = "claim_unsupported"
CLAIMS_UNSUPPORTED_SHARE: Final = "claims_unsupported_share"
DISAGREEMENT: Final = "disagreement"
DECIMALS: Final = 6


class HallucinationDetector:
    """Scores responses against contexts. ``checker`` None means that no exchange is checked claim by claim."""

    metrics = (HALLUCINATION,)
    traits = ()
    head = None

    def __init__(
        self,
        reader: GroundingReader,
        checker: ClaimChecker | None,
        escalation: Escalation,
        identity: DetectorIdentity,
    ) -> None:
        self._reader = reader
        self._checker = checker
        self._escalation = escalation
        self._identity = identity
        self.identities = (identity,)

    def texts(self, exchange: Exchange) -> Sequence[str]:
        """Nothing: it does not read with the shared encoder."""
        return ()

    def judge(self, seen: Sequence[SeenExchange]) -> list[Findings]:
        """Score all exchanges together, and check the claims of those that are chosen, together again."""
        exchanges = [one.exchange for one in seen]
        readings = self._reader.read(exchanges)
        values = [None if isinstance(reading, TextFailure) else reading.value for reading in readings]
        claims = self._check(exchanges, values)
        findings = []
        for place, reading in enumerate(readings):
            if isinstance(reading, TextFailure):
                score = not_assessed(HALLUCINATION, reading.reason, self._identity)
            else:
                labels = _label(reading.value, claims.get(place))
                score = assessed(HALLUCINATION, reading.value, self._identity, labels=labels, spans=reading.spans)
            findings.append(Findings((score,)))
        return findings

    def _check(self, exchanges: Sequence[Exchange], values: Sequence[float | None]) -> dict[int, ClaimReading]:
        """Return what the claim checker says, by the exchange's place; nothing where it was not asked or failed."""
        if self._checker is None:
            return {}
        chosen = [
            place
            for place, value in enumerate(values)
            if value is not None and self._escalation.chooses(exchanges[place].id, value)
        ]
        questions = [ClaimQuestion(exchanges[place].contexts, exchanges[place].response or "") for place in chosen]
        checked = {}
        for place, reading in zip(chosen, self._checker.check(questions), strict=True):
            if isinstance(reading, TextFailure):
                _LOG.info("claims could not be checked", extra={"reason": reading.reason})
            else:
                checked[place] = reading
        return checked


def _label(value: float, claims: ClaimReading | None) -> Mapping[str, float]:
    if claims is None:
        return {}
    return {
        CLAIM_UNSUPPORTED: claims.worst,
        CLAIMS_UNSUPPORTED_SHARE: claims.unsupported_share,
        DISAGREEMENT: round(abs(value - claims.worst), DECIMALS),
    }


def identify_hallucination(
    grounding: tuple[str, Description], claims: tuple[str, Description] | None, escalation: Escalation, precision: str
) -> DetectorIdentity:
    """Return who scores: the digest covers both models, how they are read, when the second one is asked, and precision.

    ``grounding`` and ``claims`` are each a bundle's digest and description.
    """
    parts = f"{grounding}\n{claims}\n{escalation if claims else None}\n{precision}"
    return DetectorIdentity(NAME, VERSION, f"sha256:{hashlib.sha256(parts.encode()).hexdigest()}")
