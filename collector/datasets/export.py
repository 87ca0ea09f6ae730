"""Writes a data set: rows, lineage and manifest into a new folder, and its record into the database.

The manifest says what is in the file, where it came from and who looked at it: hash, query, policies and their
versions, detectors, reviewers, redaction, the moment up to which erasures are in it, caps, and the overlap with
hold-out sets. ``lineage.jsonl`` names the exchange of every row, without text, and so does the database: an erasure
can say which data sets, and so which models, saw a person's text.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from collector.content import Contents
from collector.content.masking import Masker
from collector.datasets.formats import Format
from collector.datasets.selection import DEFAULT_CAPS, Caps, Selected, prompt_print, select_rows
from collector.datasets.store import Selection, any_erased, insert_dataset, read_detectors
from custodes import __version__
from custodes.db import Database
from custodes.kernel.clock import ns_to_rfc3339
from custodes.kernel.errors import ConflictError, CustodesError, InvalidInputError, MalformedError
from custodes.kernel.ids import new_uuid7
from policies.actors import Actor, record
from policies.audit.canonical import canonical_bytes

ROWS_FILE, LINEAGE_FILE, MANIFEST_FILE = "rows.jsonl", "lineage.jsonl", "manifest.json"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Prompts that must not be trained on, with the SHA-256 of the file they are from."""

    name: str
    sha256: str
    prints: frozenset[str]


@dataclass(frozen=True, slots=True)
class Exported:
    """A data set that was written. ``intake_id`` is the number of its audit event."""

    id: str
    folder: Path
    manifest: dict[str, Any]
    intake_id: int


def read_holdout(path: Path) -> HeldOut:
    """Return the prompts of a JSONL file: ``prompt`` as text or messages, or ``messages``; raise ``MalformedError``."""
    content = path.read_bytes()
    prints = set()
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            prints.add(prompt_print(_prompt_of(orjson.loads(line))))
        except (orjson.JSONDecodeError, KeyError, TypeError, StopIteration) as error:
            raise MalformedError(f'{path}:{number}: no prompt; write {{"prompt": …}} or {{"messages": […]}}') from error
    return HeldOut(path.name, hashlib.sha256(content).hexdigest(), frozenset(prints))


def export_dataset(
    db: Database,
    contents: Contents,
    project: str,
    chosen: Selection,
    wanted: Format,
    folder: Path,
    actor: Actor,
    now_ns: int,
    *,
    caps: Caps = DEFAULT_CAPS,
    redact: Collection[str] = (),
    holdouts: Sequence[HeldOut] = (),
) -> Exported:
    """Write a data set into ``folder``, which must not exist or be empty.

    Raises ``ConflictError`` where the folder holds something, and ``InvalidInputError`` when no reviewed exchange
    remains: an empty data set proves nothing and trains nothing.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError(f"{folder} is not empty; a data set is written into a folder of its own")
    masker = Masker(redact) if redact else None
    prints = frozenset[str]().union(*(one.prints for one in holdouts))
    with db.read() as tx:
        found = select_rows(tx, contents, project, chosen, wanted, caps=caps, masker=masker, holdout=prints)
        detectors = read_detectors(tx, [row.exchange.span_row_id for row in found.rows])
    if not found.rows:
        left = ", ".join(f"{n} {reason}" for reason, n in sorted(found.dropped.items())) or "none was reviewed"
        raise InvalidInputError(f"no reviewed exchange remains to export ({left})")
    rows = b"".join(orjson.dumps(row.body) + b"\n" for row in found.rows)
    dataset_id = new_uuid7(now_ns)
    manifest = {
        "id": dataset_id,
        "format": wanted,
        "file": ROWS_FILE,
        "sha256": hashlib.sha256(rows).hexdigest(),
        "rows": len(found.rows),
        "created_at": ns_to_rfc3339(now_ns),
        "project": project,
        "author": actor.name,
        "custodes": __version__,
        "query": chosen.to_json(),
        "incidents": list(found.incidents),
        "policies": [{"id": name, "version": version} for name, version in found.policies],
        "detectors": detectors,
        "reviewers": sorted({name for row in found.rows for name in row.reviewers}),
        "redaction": {"kinds": sorted(redact), "masked": dict(sorted(found.masked.items()))},
        "erasure_cutoff": ns_to_rfc3339(now_ns),
        "caps": {"per_source": caps.per_source, "per_user": caps.per_user},
        "sources": dict(sorted(Counter(row.source for row in found.rows).items())),
        "holdout": {
            "files": [{"name": one.name, "sha256": one.sha256, "prompts": len(one.prints)} for one in holdouts],
            "overlap": found.overlap,
        },
        "dropped": dict(sorted(found.dropped.items())),
    }
    _write(folder, rows, found, manifest)
    try:
        intake_id = _record(db, contents, project, found, manifest, actor, now_ns)
    except CustodesError:
        # Without its record nobody could say who is in it, so it must not stay.
        for name in (MANIFEST_FILE, LINEAGE_FILE, ROWS_FILE):
            (folder / name).unlink(missing_ok=True)
        raise
    return Exported(dataset_id, folder, manifest, intake_id)


def _write(folder: Path, rows: bytes, found: Selected, manifest: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lineage = b"".join(
        orjson.dumps(
            {
                "row": number,
                "exchange": row.exchange.trace_id + row.exchange.span_id,
                "source": row.source,
                "reviewers": row.reviewers,
            }
        )
        + b"\n"
        for number, row in enumerate(found.rows)
    )
    (folder / ROWS_FILE).write_bytes(rows)
    (folder / LINEAGE_FILE).write_bytes(lineage)
    # Last, so that a folder with a manifest is whole.
    (folder / MANIFEST_FILE).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def _prompt_of(row: Any) -> str:
    prompt = row.get("prompt", row.get("messages"))
    if prompt is None:
        prompt = row["input"]["messages"]
    if isinstance(prompt, str):
        return prompt
    return str(next(one["content"] for one in reversed(prompt) if one["role"] == "user"))


def _record(
    db: Database,
    contents: Contents,
    project: str,
    found: Selected,
    manifest: dict[str, Any],
    actor: Actor,
    now_ns: int,
) -> int:
    places = [(bytes.fromhex(row.exchange.trace_id), bytes.fromhex(row.exchange.span_id)) for row in found.rows]
    with db.write() as tx:
        # An erasure sees this data set, or is seen here.
        contents.keep_from_erasure(tx, project)
        if any_erased(tx, sorted({row.exchange.span_row_id for row in found.rows})):
            raise ConflictError("text in it was erased while it was written; nothing was exported, so try again")
        insert_dataset(tx, project, manifest, places, now_ns)
        data = {name: manifest[name] for name in ("format", "sha256", "rows", "query", "reviewers", "holdout")}
        data["manifest_sha256"] = hashlib.sha256(canonical_bytes(manifest)).hexdigest()
        return record(tx, actor, "dataset.exported", f"dataset/{manifest['id']}", data, project, now_ns)
