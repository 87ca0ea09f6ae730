"""One audit entry with the proof that it is in the signed log."""

from __future__ import annotations

import streamlit as st

from custodes_sdk import NotFound
from custodes_sdk.models import AuditEntry, AuditStatus, InclusionProof
from ui import session
from ui.components import states
from ui.components.safe_text import safe_text
from ui.components.tables import facts_table
from ui.figures import count_text, plural
from ui.moments import stamp_text


def entry_section(context: session.Context, seq: int, status: AuditStatus) -> None:
    """Show entry ``seq``: who did what, the recorded data, and its inclusion proof."""
    st.header(f"Entry {count_text(seq)}", anchor=False)
    page = context.client.audit_entries(from_seq=seq, limit=1)
    entry = next((row for row in page.rows if row.seq == seq), None)
    if entry is None:
        states.empty(
            "No such entry",
            f"The signed log has the entries 0 to {count_text(max(0, status.size - 1))}.",
            icon=":material/search_off:",
        )
        return
    _facts(entry)
    _proof(context, seq)


def _facts(entry: AuditEntry) -> None:
    facts_table(
        {
            "Time": stamp_text(entry.time),
            "Who": entry.actor or "unknown",
            "Role": entry.role or "unknown",
            "What": entry.action,
            "Object": entry.object or "none",
        },
        alt="Facts about this entry",
    )
    st.subheader("Recorded data", anchor=False)
    if entry.data:
        safe_text(entry.data, lang="json")
    else:
        st.caption("This entry carries no further data.")


def _proof(context: session.Context, seq: int) -> None:
    st.subheader("Inclusion proof", anchor=False)
    try:
        proof = context.client.audit_prove(seq)
    except NotFound:
        st.info("No checkpoint covers this entry yet; it is signed within seconds.", icon=":material/hourglass_top:")
        return
    st.caption(
        f"With {plural(len(proof.proof), 'hash', 'hashes')} anyone can compute, from this entry, the root of the "
        f"signed tree of {plural(proof.size, 'entry', 'entries')}."
    )
    safe_text(_proof_text(proof))
    st.caption("Signed checkpoint")
    safe_text(proof.note)


def _proof_text(proof: InclusionProof) -> str:
    lines = [f"leaf  {proof.leaf_hash}", *(f"node  {node}" for node in proof.proof), f"root  {proof.root}"]
    return "\n".join(lines)
