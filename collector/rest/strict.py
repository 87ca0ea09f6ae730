"""Strict actions: the answer is given only once the action's audit leaf is under a signed checkpoint.

``require_log`` comes before the change, so that a log that is down refuses the action rather than reports on it;
``confirm`` comes after the commit and before the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from collector.services import Services
from custodes.kernel.errors import UnavailableError
from policies.audit.checkpoint import text_to_head
from policies.audit.errors import AuditError
from policies.audit.note import parse_note


@dataclass(frozen=True, slots=True)
class AuditPlace:
    """Where an action stands in the log: its leaf's number, and the size of a signed checkpoint that covers it."""

    seq: int
    checkpoint_size: int

    def to_json(self) -> dict[str, int]:
        """Return the ``audit`` member of an answer."""
        return {"seq": self.seq, "checkpoint_size": self.checkpoint_size}


def require_log(services: Services) -> None:
    """Raise ``UnavailableError`` if the audit log cannot be written now; nothing has changed then."""
    try:
        services.audit.flush()
    except AuditError as error:
        raise UnavailableError(f"the audit log cannot be written, so this action is refused: {error}") from error


def confirm(services: Services, intake_id: int) -> AuditPlace:
    """Return where a committed event stands; raise ``UnavailableError`` if it could not be signed."""
    try:
        receipt = services.audit.flush_until(intake_id)
    except AuditError as error:
        raise UnavailableError(
            f"the action was recorded but could not be signed into the audit log, so its result is withheld: {error}"
        ) from error
    _, size, _ = text_to_head(parse_note(receipt.checkpoint.encode()).text)
    return AuditPlace(receipt.seq, size)
