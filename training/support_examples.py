"""Training examples for the hallucination head: a text, what it should rest on, and what of it does not.

Read from the groundedness sets (``../shared/data/README.md``); contrasts and frames make more in the same form.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

CG2C: Final = "groundedness/cg2c_doc.jsonl"
WICE_TOKENS: Final = {part: f"groundedness/wice_tokens_{part}.jsonl" for part in ("train", "dev", "test")}
WICE_CLAIMS: Final = {part: f"groundedness/wice_oracle_{part}.jsonl" for part in ("dev", "test")}

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A response with its contexts.

    ``unsupported`` are the character ranges of ``text`` that the contexts don't support, or None where only the verdict
    on the whole text is known. ``group`` names the source document: examples of one group stay in one split.
    """

    text: str
    contexts: tuple[str, ...]
    is_unsupported: bool
    unsupported: Ranges | None
    group: str
    origin: str
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class TokenClaim:
    """A claim of WiCE's token set: the example and each annotated token's range, with whether it is unsupported."""

    example: Example
    tokens: tuple[tuple[int, int, bool], ...]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def load_cg2c(data: Path) -> list[Example]:
    """Return cg2c's claims. Claims that share a document, or an edited copy of it, share a group."""
    rows = read_lines(data / CG2C)
    groups = _document_groups([row["text_a"] for row in rows])
    return [
        Example(row["text_b"][0], (row["text_a"],), row["orig_label"] == 0, None, f"cg2c-{group}", "cg2c")
        for row, group in zip(rows, groups, strict=True)
    ]


def _document_groups(documents: Sequence[str]) -> list[int]:
    """Return a number per document; documents that share a line of 60 characters or more get the same one."""
    owner = list(range(len(documents)))

    def root(index: int) -> int:
        while owner[index] != index:
            owner[index] = owner[owner[index]]
            index = owner[index]
        return index

    seen: dict[str, int] = {}
    for index, document in enumerate(documents):
        for line in document.replace(". ", ".\n").split("\n"):
            if len(line) >= 60:
                owner[root(index)] = root(seen.setdefault(line.strip(), index))
    return [root(index) for index in range(len(documents))]


def load_token_claims(data: Path, part: str) -> list[TokenClaim]:
    """Return WiCE's claims with labelled tokens; raises ValueError if a token cannot be found in its claim."""
    claims = []
    for row in read_lines(data / WICE_TOKENS[part]):
        text, tokens, at = row["claim"], [], 0
        for token, flag in zip(row["claim_tokens"], row["non_supported_spans"], strict=True):
            at = text.index(token, at)
            tokens.append((at, at + len(token), bool(flag)))
            at += len(token)
        ranges = merge_ranges([(start, end) for start, end, flag in tokens if flag], text)
        group = "wice-" + row["meta"]["claim_title"]
        claims.append(
            TokenClaim(
                Example(text, ("\n".join(row["evidence"]),), bool(ranges), ranges, group, "wice_tokens"), tuple(tokens)
            )
        )
    return claims


def load_wice_claims(data: Path, part: str) -> list[Example]:
    """Return WiCE's claims, each with one chunk of evidence; partly supported counts as unsupported."""
    return [
        Example(
            row["claim"],
            ("\n".join(row["evidence"]),),
            row["label"] != "supported",
            None,
            "wice-" + row["meta"]["claim_title"],
            f"wice_{part}",
        )
        for row in read_lines(data / WICE_CLAIMS[part])
    ]


def changed_example(example: Example, text: str, unsupported: Ranges, kind: str) -> Example:
    """Return a supported example with another text, of which ``unsupported`` is no longer supported."""
    return replace(
        example,
        text=text,
        is_unsupported=bool(unsupported),
        unsupported=unsupported,
        origin=f"{example.origin}_{kind}",
    )


def merge_ranges(ranges: Sequence[tuple[int, int]], text: str) -> Ranges:
    """Return ``ranges``, ascending, with those joined that only white space parts."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and not text[merged[-1][1] : start].strip():
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)
