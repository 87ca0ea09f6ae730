"""Erases a person: destroys the keys of their text, and says which copies are left that nobody here can reach.

Data sets that were exported before hold copies. They are marked in the same transaction, training runs on them that
were not sent are called off, and those that were sent are named: what they trained has seen the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collector.content import Contents
from collector.datasets.store import count_exchanges, datasets_of, mark_erased
from custodes.db import Database
from custodes.kernel.errors import InvalidInputError, NotFoundError
from policies.actions.proposals import withdraw_trainings
from policies.actors import Actor, record

MIN_REASON_CHARACTERS, MAX_REASON_CHARACTERS = 10, 500


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did, and what it could not do. ``subject`` is the pseudonym under which it is on record.

    ``keys`` were destroyed. Of ``exchanges`` that name the person, ``readable`` are kept under no key of theirs and so
    remain. ``datasets`` hold their text, by id with the number of rows; ``withdrawn`` training runs on these were
    called off, ``trained`` had been sent before.
    """

    subject: str
    keys: int
    exchanges: int
    readable: int
    datasets: Mapping[str, int]
    withdrawn: tuple[str, ...]
    trained: tuple[str, ...]
    intake_id: int

    def to_json(self) -> dict[str, Any]:
        """Return it without the number of its audit event."""
        return {
            "subject": self.subject,
            "keys": self.keys,
            "exchanges": self.exchanges,
            "readable": self.readable,
            "datasets": [{"id": one, "rows": rows} for one, rows in self.datasets.items()],
            "withdrawn": list(self.withdrawn),
            "trained": list(self.trained),
        }


def erase_subject(
    db: Database, contents: Contents, project: str, user: str, reason: str, actor: Actor, now_ns: int
) -> Erasure:
    """Destroy every key of a user's text in ``project``, in one transaction with everything that follows from it.

    Raises ``NotFoundError`` when nothing of this user is kept, ``ConflictError`` where captured text has no keys, and
    ``InvalidInputError`` for a reason of fewer than 10 or more than 500 characters. The user's id is not put on record.
    """
    why = reason.strip()
    if not MIN_REASON_CHARACTERS <= len(why) <= MAX_REASON_CHARACTERS:
        raise InvalidInputError(f"say why, in {MIN_REASON_CHARACTERS} to {MAX_REASON_CHARACTERS} characters")
    pseudonym = contents.pseudonym(project, user)
    with db.write() as tx:
        keys = contents.destroy_subject_keys(tx, project, user)
        exchanges, readable = count_exchanges(tx, project, user)
        if keys == 0 and exchanges == 0:
            raise NotFoundError(
                f"nothing of this user is kept in project {project}; ids are compared as they were sent"
            )
        found = datasets_of(tx, project, user)
        mark_erased(tx, found, now_ns)
        words = "its data set holds text of somebody who was erased"
        withdrawn, sent = withdraw_trainings(tx, project, found, words, actor, now_ns) if found else ([], [])
        data = {
            "reason": why,
            "keys": keys,
            "exchanges": exchanges,
            "readable": readable,
            "datasets": list(found),
            "withdrawn": withdrawn,
            "trained": sent,
        }
        intake_id = record(tx, actor, "subject.erased", f"subject/{pseudonym}", data, project, now_ns)
    return Erasure(pseudonym, keys, exchanges, readable, found, tuple(withdrawn), tuple(sent), intake_id)
