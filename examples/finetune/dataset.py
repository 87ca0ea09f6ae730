"""Reads a data set that Custodes exported, and refuses what must not be trained on.

Nothing here needs a heavy package, so the checks can be run anywhere.
"""

from __future__ import annotations

import hashlib
import json
import random
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import rfc8785

Row = dict[str, Any]
METHODS = {"trl-prompt-completion": "sft", "trl-preference": "dpo", "trl-unpaired": "kto"}
"""By which method each format is learned."""


class Refused(Exception):
    """Why this data set must not be trained on."""


@dataclass(frozen=True)
class DataSet:
    """An export whose file is the one its manifest describes. ``digest`` is the manifest's, as in the audit log."""

    manifest: dict[str, Any]
    rows: list[Row]
    digest: str

    @property
    def method(self) -> str:
        """How it is learned: ``sft``, ``dpo`` or ``kto``."""
        return METHODS[self.manifest["format"]]


def read_dataset(folder: Path, sha256: str | None = None) -> DataSet:
    """Return the data set in ``folder``; ``sha256`` is what the order to train says that its rows hash to.

    Raises ``Refused`` when the rows are not those of the manifest or of the order, or no trainer here reads the format.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        content = (folder / manifest["file"]).read_bytes()
        rows = [json.loads(line) for line in content.splitlines()]
    except (OSError, ValueError, KeyError) as error:
        raise Refused(f"{folder} holds no whole data set: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    for wanted, whose in ((manifest["sha256"], "its manifest says"), (sha256, "was ordered")):
        if wanted is not None and wanted != found:
            raise Refused(f"{manifest['file']} hashes to {found}, and {wanted} {whose}")
    if len(rows) != manifest["rows"]:
        raise Refused(f"{manifest['file']} has {len(rows)} rows, and its manifest says {manifest['rows']}")
    if manifest["format"] not in METHODS:
        raise Refused(f"this trainer reads {', '.join(METHODS)}, not {manifest['format']}")
    return DataSet(manifest, rows, hashlib.sha256(rfc8785.dumps(manifest)).hexdigest())


def read_status(dataset_id: str, custodes: str, key: str | None) -> dict[str, Any]:
    """Return what the Custodes server at ``custodes`` knows about the data set now, its erasures among it."""
    request = urllib.request.Request(f"{custodes.rstrip('/')}/api/v1/datasets/{dataset_id}")
    if key:
        request.add_header("authorization", f"Bearer {key}")
    # Neither proxies from the environment nor redirects: the key goes to this server only.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    try:
        with opener.open(request, timeout=30) as answer:
            if answer.status != 200:
                raise Refused(f"the server answered {answer.status} about data set {dataset_id}")
            return dict(json.load(answer))
    except (OSError, ValueError) as error:
        raise Refused(f"nobody could say whether text in the data set was erased: {error}") from error


def check_status(found: DataSet, status: dict[str, Any]) -> None:
    """Raise ``Refused`` when the server knows another data set under this id, or erased text in it since."""
    manifest = found.manifest
    known = {name: value for name, value in status.items() if name != "stale"}
    if hashlib.sha256(rfc8785.dumps(known)).hexdigest() != found.digest:
        raise Refused(f"the manifest is not the one that the server has on record for data set {manifest['id']}")
    if "stale" not in status:
        raise Refused("the server does not say whether text in the data set was erased")
    stale = status["stale"]
    if stale and _time(stale["at"]) >= _time(manifest["erasure_cutoff"]):
        raise Refused(f"erased at {stale['at']}, after the cut-off {manifest['erasure_cutoff']}: {stale['reason']}")


def read_holdout(found: DataSet, path: Path) -> list[Row]:
    """Return the rows of a hold-out file, in the format of the data set.

    Raises ``Refused`` when the export did not know the file, or a prompt of it is in the data set all the same.
    """
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest not in {one["sha256"] for one in found.manifest["holdout"]["files"]}:
        raise Refused(f"{path.name} was not kept out of this data set: export it with --holdout {path.name}")
    rows = [json.loads(line) for line in content.splitlines() if line.strip()]
    wanted = set(found.rows[0])
    if not rows or any(set(row) != wanted for row in rows):
        raise Refused(f"rows of {path.name} have to hold {', '.join(sorted(wanted))}, as those of the data set")
    overlap = {question_of(row) for row in rows} & {question_of(row) for row in found.rows}
    if overlap:
        raise Refused(f"{len(overlap)} questions of {path.name} are in the data set")
    return rows


def split(rows: list[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Return rows to learn and rows to hold out, about ``share`` of them; the same question is never in both.

    Raises ``Refused`` when there are too few questions for that.
    """
    by_question: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_question[question_of(row)].append(row)
    questions = sorted(by_question)
    random.Random(seed).shuffle(questions)
    kept = max(1, round(share * len(questions)))
    if kept >= len(questions):
        raise Refused(f"{len(questions)} questions are too few to learn from some and be judged by others")
    held = [row for one in questions[:kept] for row in by_question[one]]
    return [row for one in questions[kept:] for row in by_question[one]], held


def question_of(row: Row) -> str:
    """Return the last thing the user said, whatever its case and spacing."""
    last = next(one["content"] for one in reversed(row["prompt"]) if one["role"] == "user")
    return " ".join(last.casefold().split())


def _time(text: str) -> datetime:
    # Nanoseconds are more than Python reads.
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6] or '0'}+00:00")
