"""The members of the ``full`` profile: what open models judge better, in the place of what ``builtin`` has for it.

``toxicity``, ``prompt_toxicity`` and ``identity_attack`` come from a detoxify model, ``hallucination`` from a token
classifier with a claim checker behind it, ``inconsistency`` from other answers to the same prompt. Whatever else
``builtin`` judges, it judges here too. A member that cannot be loaded fails the profile; none of ``builtin`` stands in
for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from detectors.builtin import SentenceVectors as PackagedVectors
from detectors.contract import Detector, Setup
from detectors.errors import DetectorError
from detectors.full.catalogue import DescribedBundle, open_bundles
from detectors.full.claims import ClaimChecker
from detectors.full.description import ClaimDescription, GroundingDescription
from detectors.full.embedding import SentenceVectors, load_sentence_encoder
from detectors.full.grounding import GroundingReader
from detectors.full.hallucination import HallucinationDetector, identify_hallucination
from detectors.full.inconsistency import InconsistencyDetector
from detectors.full.loading import load_classifier
from detectors.full.options import FullOptions
from detectors.full.toxicity import ToxicityDetector, load_toxicity
from detectors.model import HALLUCINATION, IDENTITY_ATTACK, PROMPT_TOXICITY, TOXICITY

REPLACED_METRICS: Final = frozenset({HALLUCINATION, TOXICITY, PROMPT_TOXICITY, IDENTITY_ATTACK})


def load_full(setup: Setup, builtin: Sequence[Detector], options: FullOptions) -> list[Detector]:
    """Load every member, those of ``builtin`` that stay first, from bundles whose every file was verified.

    Opens no connection. Raises MissingBundleError naming every bundle that is missing and the commands that bring them,
    or ModelFileError if one cannot be used.
    """
    opened = open_bundles(setup.models_dir, options.bundles())
    device, precision = setup.device, setup.encoder.precision
    checker = None
    if "claims" in opened:
        checker = _load_checker(opened["claims"], setup)
    toxicity = load_toxicity(opened["toxicity"], device=device, precision=precision, loader=options.checkpoint_loader)
    members: list[Detector] = [
        _load_hallucination(opened, setup, checker, options),
        ToxicityDetector(toxicity, setup.limits, alive=setup.alive),
        InconsistencyDetector(checker, options.escalation),
    ]
    kept = [member for member in builtin if not REPLACED_METRICS & set(member.metrics)]
    if "encoder" in opened:
        encoder = load_sentence_encoder(opened["encoder"].bundle, device=device, precision=precision)
        members.append(SentenceVectors(encoder, setup.limits, alive=setup.alive))
        kept = [member for member in kept if not isinstance(member, PackagedVectors)]
    return [*members, *kept]


def _load_checker(described: DescribedBundle, setup: Setup) -> ClaimChecker:
    description = described.description
    if not isinstance(description, ClaimDescription):
        raise DetectorError(f"model bundle {described.bundle.name} is no claim checker")
    loaded = load_classifier(described.bundle, "sequence", device=setup.device, precision=setup.encoder.precision)
    return ClaimChecker(loaded, description, setup.limits, alive=setup.alive)


def _load_hallucination(
    opened: dict[str, DescribedBundle],
    setup: Setup,
    checker: ClaimChecker | None,
    options: FullOptions,
) -> HallucinationDetector:
    grounding, claims = opened["grounding"], opened.get("claims")
    description = grounding.description
    if not isinstance(description, GroundingDescription):
        raise DetectorError(f"model bundle {grounding.bundle.name} is no token classifier")
    precision = setup.encoder.precision
    loaded = load_classifier(grounding.bundle, "token", device=setup.device, precision=precision)
    identity = identify_hallucination(
        (grounding.bundle.digest, description),
        None if claims is None else (claims.bundle.digest, claims.description),
        options.escalation,
        precision,
    )
    reader = GroundingReader(loaded, description, setup.limits, alive=setup.alive)
    return HallucinationDetector(reader, checker, options.escalation, identity)
