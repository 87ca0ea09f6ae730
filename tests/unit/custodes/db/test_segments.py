"""Segments: one row number for each (service, environment, deployment, model), whoever asks first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select

from custodes.db import Database
from custodes.db.segments import Segment, resolve_segments
from custodes.db.tables import segment

BOT = Segment("support-bot", "prod", "support-bot-v7", "gpt-x")


def resolve(database: Database, wanted: list[Segment], project: str = "default") -> dict[Segment, int]:
    with database.write() as tx:
        return resolve_segments(tx, project, wanted)


class TestResolveSegments:
    def test_it_creates_once_and_finds_afterwards(self, database: Database) -> None:
        first = resolve(database, [BOT])
        assert resolve(database, [BOT, BOT]) == first

    def test_it_tells_segments_apart_by_every_part(self, database: Database) -> None:
        others = [
            Segment("other", BOT.environment, BOT.deployment, BOT.model),
            Segment(BOT.service, "other", BOT.deployment, BOT.model),
            Segment(BOT.service, BOT.environment, "other", BOT.model),
            Segment(BOT.service, BOT.environment, BOT.deployment, "other"),
            Segment("", "", "", ""),
        ]
        found = resolve(database, [BOT, *others])
        assert len(set(found.values())) == 6

    def test_it_keeps_projects_apart(self, database: Database) -> None:
        assert resolve(database, [BOT])[BOT] != resolve(database, [BOT], project="other")[BOT]

    def test_it_takes_more_than_one_statement_can_hold(self, database: Database) -> None:
        many = [Segment(f"service-{n}", "", "", "") for n in range(250)]
        found = resolve(database, many)
        assert set(found) == set(many)
        assert len(set(found.values())) == 250

    def test_it_does_nothing_for_nothing(self, database: Database) -> None:
        assert resolve(database, []) == {}

    def test_it_creates_once_when_many_ask_together(self, database: Database) -> None:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: resolve(database, [BOT]), range(8)))
        assert len({answer[BOT] for answer in answers}) == 1
        with database.read() as tx:
            assert tx.execute(select(func.count()).select_from(segment)).scalar_one() == 1
