"""Erasing a person, and what that means for data sets and training runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.datasets.export import Exported, export_dataset
from collector.datasets.store import Selection
from collector.dialects.span import NormalSpan
from custodes.kernel.clock import SECOND_NS
from custodes.kernel.errors import ConflictError
from policies.actors import Actor

Chat = Callable[..., NormalSpan]
OPERATOR = Actor("olga", "operator")
TARGET = {"adapter": "webhook", "endpoint": "trainer"}
WHY = "request 4711 of the data protection officer"


@pytest.fixture
def reviewed(server: Any, chat: Chat) -> Any:
    """Two users with two reviewed exchanges each, on both databases."""
    analyst = server.client("analyst")
    for n in range(4):
        ids = {"trace_id": f"{n + 1:032x}", "span_id": f"{n + 1:016x}"}
        attributes = {"user.id": f"u-{n % 2}"}
        server.store(chat(n, prompt=f"Question {n}?", response=f"Answer {n}.", attributes=attributes, **ids))
        assert analyst.post("/api/v1/reviews", json={"exchange": "".join(ids.values()), "verdict": "good"}).is_success
    server.score({"toxicity": 0.9})
    return server


def export(server: Any, folder: Path, **more: Any) -> Exported:
    chosen = Selection(metric="toxicity", min_score=0.5, **more)
    place = (server.database, server.contents, "default")
    return export_dataset(*place, chosen, "trl-prompt-completion", folder, OPERATOR, server.now_ns)


def erase(server: Any, user: str = "u-0", **more: Any) -> Any:
    return server.client("operator").post("/api/v1/subjects/erase", json={"user": user, "reason": WHY} | more)


def train(server: Any, made: Exported) -> Any:
    return server.client("operator").post(f"/api/v1/datasets/{made.id}/train", json={"target": TARGET})


class TestErasure:
    def test_destroys_the_keys_and_says_what_held_copies(self, reviewed: Any, tmp_path: Path) -> None:
        made = export(reviewed, tmp_path / "out")
        reviewed.now_ns += SECOND_NS
        said = erase(reviewed).json()
        assert (said["keys"], said["exchanges"], said["readable"]) == (1, 2, 0)
        assert said["datasets"] == [{"id": made.id, "rows": 2}]
        assert (said["withdrawn"], said["trained"]) == ([], [])
        with pytest.raises(ConflictError):
            export(reviewed, tmp_path / "out")
        again = export(reviewed, tmp_path / "again")
        assert (again.manifest["rows"], again.manifest["dropped"]) == (2, {"erased": 2})

    def test_stands_in_the_audit_log_without_the_user_s_id(self, reviewed: Any, tmp_path: Path) -> None:
        made = export(reviewed, tmp_path / "out")
        said = erase(reviewed).json()
        rows = reviewed.client("auditor").get("/api/v1/audit/entries").json()["rows"]
        (leaf,) = [one for one in rows if one["action"] == "subject.erased"]
        assert leaf["object"] == f"subject/{said['subject']}"
        assert "u-0" not in orjson.dumps(leaf).decode()
        assert leaf["data"]["datasets"] == [made.id]
        assert said["audit"]["checkpoint_size"] > said["audit"]["seq"]

    def test_makes_data_sets_stale(self, reviewed: Any, tmp_path: Path) -> None:
        made, other = export(reviewed, tmp_path / "a"), export(reviewed, tmp_path / "b")
        viewer = reviewed.client("viewer")
        assert viewer.get(f"/api/v1/datasets/{made.id}").json()["stale"] is None
        reviewed.now_ns += SECOND_NS
        erase(reviewed, "u-1")
        later = export(reviewed, tmp_path / "c")
        rows = viewer.get("/api/v1/datasets").json()["rows"]
        stale = {one["id"]: one["stale"] for one in rows}
        assert stale[later.id] is None
        assert stale[made.id]["at"] > made.manifest["erasure_cutoff"]
        assert "erased since" in stale[other.id]["reason"]

    def test_keeps_stale_data_sets_from_being_trained_on(self, reviewed: Any, tmp_path: Path) -> None:
        made = export(reviewed, tmp_path / "out")
        proposed = train(reviewed, made).json()
        assert proposed["state"] == "proposed"
        reviewed.now_ns += SECOND_NS
        assert erase(reviewed).json()["withdrawn"] == [proposed["id"]]
        shown = reviewed.client("viewer").get(f"/api/v1/actions/{proposed['id']}").json()
        assert (shown["state"], shown["reason"]) == ("cancelled", "its data set holds text of somebody who was erased")
        refused = train(reviewed, made)
        assert refused.status_code == 409
        assert "holds text of somebody who was erased since" in refused.json()["detail"]

    def test_is_refused_without_a_reason_a_permission_or_a_person(self, reviewed: Any) -> None:
        assert erase(reviewed, reason="please").status_code == 400
        assert erase(reviewed, "nobody").status_code == 404
        answer = reviewed.client("admin").post("/api/v1/subjects/erase", json={"user": "u-0", "reason": WHY})
        assert answer.status_code == 403

    def test_says_what_it_could_not_reach(self, reviewed: Any, chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = reviewed.settings.privacy.model_copy(update={"encrypt": False})
        monkeypatch.setattr(reviewed.contents, "_settings", plain)
        reviewed.store(chat(9, attributes={"user.id": "u-0"}, trace_id=f"{9:032x}", span_id=f"{9:016x}"))
        said = erase(reviewed).json()
        assert (said["exchanges"], said["readable"]) == (3, 1)

    def test_is_noticed_by_an_export_under_way(
        self, reviewed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from collector.datasets import export as module

        write = module._write

        def write_late(*given: Any) -> None:
            write(*given)
            assert erase(reviewed).is_success

        monkeypatch.setattr(module, "_write", write_late)
        with pytest.raises(ConflictError, match="erased while it was written"):
            export(reviewed, tmp_path / "out")
        assert list((tmp_path / "out").iterdir()) == []
        assert reviewed.client("viewer").get("/api/v1/datasets").json()["rows"] == []
