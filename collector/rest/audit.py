"""``/audit``: the tamper-evident log, in C2SP tlog-tiles form and as JSON.

One log covers the whole server, because a log with parts left out could not be verified; an auditor's key reads all
of it. Leaves hold pseudonyms, numbers and names of things, never captured text.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import PlainTextResponse, Response

from collector.rest.dependencies import AuditReader, Reader, WithServices, json_response, page_response
from collector.rest.parameters import Limit
from collector.rest.parameters import Query as Parameters
from collector.rest.queries.audit import EntryPage, check_log, load_entries, load_proof, load_status
from policies.audit.reading import read_checkpoint, read_entries_bundle, read_tile
from policies.audit.store import LeafFilter
from policies.audit.tiles import ENTRIES_LEVEL, parse_path

router = APIRouter(prefix="/audit", tags=["audit"])
Seq = Annotated[int, Field(ge=0, le=2**62)]
# Tiles never change once published; the key that reads them is private all the same.
_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}


class EntryQuery(Parameters):
    """Exact filters and a page. ``asc`` goes upwards from ``from_seq``, ``desc`` downwards from before it."""

    from_seq: Seq | None = None
    cursor: Seq | None = Field(None, description="next_cursor of the page before; replaces from_seq.")
    limit: Limit = 100
    order: Literal["asc", "desc"] = "asc"
    action: str | None = Field(None, max_length=64)
    actor: str | None = Field(None, max_length=128)
    object: str | None = Field(None, max_length=256)

    def to_page(self) -> EntryPage:
        """Return the page these parameters ask for."""
        wanted = LeafFilter(action=self.action, actor=self.actor, object=self.object)
        start = self.from_seq if self.cursor is None else self.cursor
        return EntryPage(wanted, start, self.order == "desc", self.limit)


@router.get("/status", summary="The log's identity and how far it is signed")
def get_status(_: Reader, services: WithServices) -> Response:
    """Return origin, verifier key, size and root."""
    with services.db.read() as tx:
        return json_response(load_status(tx, services.audit.key))


@router.get("/checkpoint", summary="The latest signed checkpoint (signed note)")
def get_checkpoint(_: Reader, services: WithServices) -> Response:
    """Return the C2SP checkpoint as text."""
    with services.db.read() as tx:
        return PlainTextResponse(read_checkpoint(tx).note)


@router.get("/entries", summary="Signed entries, filtered exactly")
def get_entries(query: Annotated[EntryQuery, Query()], _: AuditReader, services: WithServices) -> Response:
    """List entries by number."""
    with services.db.read() as tx:
        rows, following = load_entries(tx, query.to_page())
    return page_response(rows, None if following is None else str(following))


@router.get("/prove/{seq}", summary="Inclusion proof of one entry in the latest checkpoint")
def get_proof(seq: Seq, _: AuditReader, services: WithServices) -> Response:
    """Return the proof as hex hashes and as a C2SP tlog-proof."""
    with services.db.read() as tx:
        return json_response(load_proof(tx, seq))


@router.get("/tile/{path:path}", summary="Hash tiles and entry bundles (C2SP tlog-tiles)")
def get_tile(path: str, _: AuditReader, services: WithServices) -> Response:
    """Return the bytes at ``tile/<level>/<index>`` or ``tile/entries/<index>``."""
    name = parse_path(f"tile/{path}")
    with services.db.read() as tx:
        if name.level == ENTRIES_LEVEL:
            data = read_entries_bundle(tx, name.n, name.width)
        else:
            data = read_tile(tx, name.level, name.n, name.width)
    return Response(data, headers=_FOREVER, media_type="application/octet-stream")


@router.post("/verify", summary="Recompute the whole log from its leaves")
def verify_log(_: AuditReader, services: WithServices) -> Response:
    """Return the verdict of a full check. It comes from the server that is checked; an export is what convinces."""
    with services.db.read() as tx:
        return json_response(check_log(tx, services.audit.key))
