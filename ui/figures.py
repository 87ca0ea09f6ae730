"""Numbers and scores as people read them. A missing value is a word, never blank, 0 or NaN."""

from __future__ import annotations

NOT_ASSESSED = "not assessed"

METRIC_NAMES = {
    "toxicity": "Toxicity",
    "prompt_toxicity": "Prompt toxicity",
    "hallucination": "Hallucination",
    "identity_attack": "Identity attack",
    "refusal": "Refusal",
    "negative_tone": "Negative tone",
    "pii": "Personal data",
    "prompt_pii": "Personal data in the prompt",
    "secrets": "Secrets",
    "prompt_secrets": "Secrets in the prompt",
    "prompt_injection": "Prompt injection",
    "context_injection": "Injection in the context",
    "inconsistency": "Inconsistency",
}

REASONS = {
    "no_context": "no retrieved context to compare with",
    "no_prompt_text": "no prompt text was captured",
    "no_response_text": "no response text was captured",
    "no_other_answer": "the prompt got no other answer",
    "no_checkable_claim": "nothing in the response can be checked",
    "unsupported_text": "a language or script the detector was not made for",
    "text_too_long": "the text is too long to be read whole",
    "attributes_dropped": "the exporter dropped attributes, so the text may be partial",
    "content_unreadable": "the messages arrived cut off or unreadable",
    "detector_error": "the detector failed on this text",
    "detector_timeout": "the detector took too long on this text",
    "scoring_failed": "the batch could not be scored",
}


def metric_name(metric: str) -> str:
    """Return a metric's name for people: ``Prompt toxicity``."""
    return METRIC_NAMES.get(metric, metric.replace("_", " ").capitalize())


def reason_text(reason: str | None) -> str:
    """Return why something was not assessed, in words."""
    if not reason:
        return "no reason given"
    return REASONS.get(reason, reason.replace("_", " "))


def state_text(state: str) -> str:
    """Return a state in words: ``not_assessed`` becomes ``not assessed``."""
    return state.replace("_", " ")


def score_text(value: float | None, state: str | None = None) -> str:
    """Return a score with two decimals, or the word for why there is none."""
    if value is not None:
        return f"{value:.2f}"
    return state_text(state) if state and state != "assessed" else NOT_ASSESSED


def count_text(value: int) -> str:
    """Return a whole number with thousands separators."""
    return f"{value:,}"


def share_text(ratio: float | None) -> str:
    """Return a ratio as a percentage with one decimal; ``no data`` for None."""
    if ratio is None:
        return "no data"
    if 0 < ratio < 0.001:
        return "<0.1%"
    return f"{ratio * 100:.1f}%"


def plural(n: int, noun: str, plural_noun: str | None = None) -> str:
    """Return a counted noun: ``1 trace``, ``2 traces``; irregular plurals are given."""
    return f"{count_text(n)} {noun}" if n == 1 else f"{count_text(n)} {plural_noun or f'{noun}s'}"


def cost_text(usd: float | None) -> str:
    """Return a cost in US dollars; ``unknown`` for None."""
    if usd is None:
        return "unknown"
    return f"${usd:.2f}" if usd >= 0.1 else f"${usd:.5f}"


def tokens_text(tokens: int | None) -> str:
    """Return a token count; ``unknown`` for None."""
    return "unknown" if tokens is None else count_text(tokens)
