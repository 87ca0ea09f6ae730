"""From one reviewed exchange to the rows that trainers read. Pure.

TRL's conversational prompt-completion, preference and unpaired preference; OpenAI's chat and preference JSONL, which
other services read too. Each holds the whole conversation that was sent to the model. Only the answer that people
looked at is something to learn: earlier answers are the prompt in TRL's formats and have weight 0 in OpenAI's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from collector.datasets.conversation import Turn

Format = Literal["trl-prompt-completion", "trl-preference", "trl-unpaired", "openai-chat", "openai-dpo"]
FORMATS: tuple[Format, ...] = ("trl-prompt-completion", "trl-preference", "trl-unpaired", "openai-chat", "openai-dpo")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """An exchange that people agree about: the turns up to the answer, and the answer.

    ``corrected`` is the better answer that somebody wrote, if any.
    """

    turns: tuple[Turn, ...]
    response: str
    is_good: bool
    corrected: str | None = None


def rows_of(judged: Judged, wanted: Format) -> list[Row]:
    """Return the rows of an exchange in a format; none where it has not what the format needs.

    A bad answer is never something to imitate: it stands only as rejected, or with the label false.
    """
    return _MAKERS[wanted](judged)


def _answer(text: str) -> list[Row]:
    return [{"role": "assistant", "content": text}]


def _trl(turns: Sequence[Turn]) -> list[Row]:
    """Return messages as chat templates take them: arguments are objects, and a tool says its name."""
    return [_trl_message(turn) for turn in turns]


def _trl_message(turn: Turn) -> Row:
    row: Row = {"role": turn.role, "content": turn.text}
    if turn.calls:
        row["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in turn.calls
        ]
    if turn.role == "tool":
        row["name"] = turn.name
    return row


def _openai(turns: Sequence[Turn]) -> list[Row]:
    """Return messages as OpenAI takes them: arguments are JSON text, and calls and answers are joined by ids."""
    return [_openai_message(turn) for turn in turns]


def _openai_message(turn: Turn) -> Row:
    row: Row = {"role": turn.role, "content": turn.text}
    if turn.calls:
        row["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _to_json_text(call.arguments)},
            }
            for call in turn.calls
        ]
    if turn.role == "tool":
        row["tool_call_id"] = turn.call_id
    return row


def _to_json_text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()


def _best(judged: Judged) -> str | None:
    return judged.corrected if judged.corrected is not None else judged.response if judged.is_good else None


def _has_preference(judged: Judged) -> bool:
    return not judged.is_good and judged.corrected is not None and judged.corrected != judged.response


def _prompt_completion(judged: Judged) -> list[Row]:
    best = _best(judged)
    return [] if best is None else [{"prompt": _trl(judged.turns), "completion": _answer(best)}]


def _preference(judged: Judged) -> list[Row]:
    if not _has_preference(judged):
        return []
    chosen = _answer(judged.corrected or "")
    return [{"prompt": _trl(judged.turns), "chosen": chosen, "rejected": _answer(judged.response)}]


def _unpaired(judged: Judged) -> list[Row]:
    prompt = _trl(judged.turns)
    rows = [{"prompt": prompt, "completion": _answer(judged.response), "label": judged.is_good}]
    if judged.corrected is not None and judged.corrected != judged.response:
        rows.append({"prompt": prompt, "completion": _answer(judged.corrected), "label": True})
    return rows


def _openai_chat(judged: Judged) -> list[Row]:
    best = _best(judged)
    if best is None:
        return []
    earlier = [row | ({"weight": 0} if row["role"] == "assistant" else {}) for row in _openai(judged.turns)]
    return [{"messages": earlier + _answer(best)}]


def _openai_dpo(judged: Judged) -> list[Row]:
    if not _has_preference(judged):
        return []
    return [
        {
            "input": {"messages": _openai(judged.turns)},
            "preferred_output": _answer(judged.corrected or ""),
            "non_preferred_output": _answer(judged.response),
        }
    ]


_MAKERS: Mapping[Format, Callable[[Judged], list[Row]]] = {
    "trl-prompt-completion": _prompt_completion,
    "trl-preference": _preference,
    "trl-unpaired": _unpaired,
    "openai-chat": _openai_chat,
    "openai-dpo": _openai_dpo,
}
