"""From one reviewed exchange to the rows that trainers read. Pure.

TRL's conversational prompt-completion, preference and unpaired preference; OpenAI's chat and preference JSONL, which
other services read too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Format = Literal["trl-prompt-completion", "trl-preference", "trl-unpaired", "openai-chat", "openai-dpo"]
FORMATS: tuple[Format, ...] = ("trl-prompt-completion", "trl-preference", "trl-unpaired", "openai-chat", "openai-dpo")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """An exchange that people agree about. ``corrected`` is the better answer that somebody wrote, if any."""

    prompt: str
    response: str
    is_good: bool
    corrected: str | None = None


def rows_of(judged: Judged, wanted: Format) -> list[Row]:
    """Return the rows of an exchange in a format; none where it has not what the format needs.

    A bad answer is never something to imitate: it stands only as rejected, or with the label false.
    """
    return _MAKERS[wanted](judged)


def _message(role: str, text: str) -> Row:
    return {"role": role, "content": text}


def _best(judged: Judged) -> str | None:
    return judged.corrected if judged.corrected is not None else judged.response if judged.is_good else None


def _prompt_completion(judged: Judged) -> list[Row]:
    best = _best(judged)
    if best is None:
        return []
    return [{"prompt": [_message("user", judged.prompt)], "completion": [_message("assistant", best)]}]


def _preference(judged: Judged) -> list[Row]:
    if judged.is_good or judged.corrected is None or judged.corrected == judged.response:
        return []
    return [
        {
            "prompt": [_message("user", judged.prompt)],
            "chosen": [_message("assistant", judged.corrected)],
            "rejected": [_message("assistant", judged.response)],
        }
    ]


def _unpaired(judged: Judged) -> list[Row]:
    prompt = [_message("user", judged.prompt)]
    rows = [{"prompt": prompt, "completion": [_message("assistant", judged.response)], "label": judged.is_good}]
    if judged.corrected is not None and judged.corrected != judged.response:
        rows.append({"prompt": prompt, "completion": [_message("assistant", judged.corrected)], "label": True})
    return rows


def _openai_chat(judged: Judged) -> list[Row]:
    best = _best(judged)
    return [] if best is None else [{"messages": [_message("user", judged.prompt), _message("assistant", best)]}]


def _openai_dpo(judged: Judged) -> list[Row]:
    return [
        {
            "input": {"messages": row["prompt"]},
            "preferred_output": row["chosen"],
            "non_preferred_output": row["rejected"],
        }
        for row in _preference(judged)
    ]


_MAKERS: Mapping[Format, Callable[[Judged], list[Row]]] = {
    "trl-prompt-completion": _prompt_completion,
    "trl-preference": _preference,
    "trl-unpaired": _unpaired,
    "openai-chat": _openai_chat,
    "openai-dpo": _openai_dpo,
}
