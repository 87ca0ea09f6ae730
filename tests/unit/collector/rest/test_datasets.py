"""Reviews, and the data sets for fine-tuning that are made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.datasets.export import Exported, export_dataset, read_holdout
from collector.datasets.formats import Format
from collector.datasets.selection import Caps
from collector.datasets.store import Selection, datasets_of
from collector.dialects.span import NormalSpan
from custodes.kernel.errors import ConflictError, InvalidInputError, MalformedError, NotFoundError
from policies.actors import Actor

Chat = Callable[..., NormalSpan]
OPERATOR = Actor("olga", "operator")


def exchange(n: int) -> str:
    return f"{n + 1:032x}{n + 1:016x}"


def review(client: Any, n: int, verdict: str = "bad", corrected: str | None = None) -> Any:
    body = {"exchange": exchange(n), "verdict": verdict} | ({} if corrected is None else {"corrected": corrected})
    return client.post("/api/v1/reviews", json=body)


@pytest.fixture
def bad_answers(local_server: Any, chat: Chat) -> Any:
    """Four toxic exchanges that were scored and nobody has looked at."""
    for n in range(4):
        ids = {"trace_id": f"{n + 1:032x}", "span_id": f"{n + 1:016x}"}
        local_server.store(
            chat(n, prompt=f"Question {n}?", response=f"Rude answer {n}.", attributes={"user.id": f"u-{n % 2}"}, **ids)
        )
    local_server.score({"toxicity": 0.9})
    return local_server


def export(server: Any, folder: Path, wanted: Format = "trl-unpaired", **more: Any) -> Exported:
    chosen = more.pop("chosen", Selection(metric="toxicity", min_score=0.5))
    return export_dataset(
        server.database, server.contents, "default", chosen, wanted, folder, OPERATOR, server.now_ns, **more
    )


def rows_in(folder: Path) -> list[Any]:
    return [orjson.loads(line) for line in (folder / "rows.jsonl").read_bytes().splitlines()]


class TestReviews:
    def test_are_stored_without_showing_the_better_answer(self, bad_answers: Any) -> None:
        analyst = bad_answers.client("analyst")
        assert review(analyst, 0, corrected="A kind answer.").status_code == 201
        (row,) = bad_answers.client("viewer").get(f"/api/v1/reviews?exchange={exchange(0)}").json()["rows"]
        assert (row["verdict"], row["corrected"], row["erased"]) == ("bad", True, False)
        assert "kind" not in bad_answers.client("viewer").get("/api/v1/reviews").text

    def test_need_somebody_who_may_read_and_an_exchange(self, bad_answers: Any) -> None:
        assert review(bad_answers.client("operator"), 0).status_code == 403
        assert review(bad_answers.client("analyst"), 99).status_code == 404


class TestExport:
    def test_takes_only_what_somebody_has_looked_at(self, bad_answers: Any, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="no reviewed exchange remains"):
            export(bad_answers, tmp_path / "none")
        analyst = bad_answers.client("analyst")
        review(analyst, 0, corrected="A kind answer.")
        review(analyst, 1, "good")
        made = export(bad_answers, tmp_path / "out", "trl-preference")
        (row,) = rows_in(made.folder)
        assert row["prompt"] == [{"role": "user", "content": "Question 0?"}]
        assert row["chosen"] == [{"role": "assistant", "content": "A kind answer."}]
        assert made.manifest["dropped"] == {"has not what the format needs": 1}

    def test_takes_the_whole_conversation(self, server: Any, chat: Chat, tmp_path: Path) -> None:
        def said(role: str, *parts: Any) -> dict[str, Any]:
            return {"role": role, "parts": [{"type": "text", "content": p} if isinstance(p, str) else p for p in parts]}

        earlier = [
            said("system", "Write to ann@example.org only."),
            said("user", "Which day is it?"),
            said(
                "assistant", {"type": "tool_call", "id": "c-1", "name": "day", "arguments": {"for": "bob@example.org"}}
            ),
            said("tool", {"type": "tool_call_response", "id": "c-1", "response": "Monday"}),
            said("assistant", "Monday."),
            said("user", "And tomorrow?"),
        ]
        picture = said(
            "user", "What is this?", {"type": "uri", "modality": "image", "uri": "https://example.org/x.png"}
        )
        for n, messages in enumerate((earlier, [picture])):
            ids = {"trace_id": f"{n + 1:032x}", "span_id": f"{n + 1:016x}"}
            server.store(
                chat(n, prompt=None, response="Tuesday.", attributes={"gen_ai.input.messages": messages}, **ids)
            )
        server.score({"toxicity": 0.9})
        analyst = server.client("analyst")
        assert [review(analyst, n, "good").status_code for n in range(2)] == [201, 201]
        made = export(server, tmp_path / "out", "openai-chat", redact=["email"])
        (row,) = rows_in(made.folder)
        assert [one["role"] for one in row["messages"]] == [
            "system", "user", "assistant", "tool", "assistant", "user", "assistant",
        ]  # fmt: skip
        assert row["messages"][0]["content"] == "Write to [email] only."
        assert row["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"for":"[email]"}'
        assert made.manifest["dropped"] == {"holds more than text": 1}
        assert made.manifest["redaction"]["masked"] == {"email": 2}
        # A question of an earlier turn is held out like the last one.
        path = tmp_path / "eval.jsonl"
        path.write_text('{"prompt": "Which day is it?"}\n')
        with pytest.raises(InvalidInputError, match="1 in the hold-out set"):
            export(server, tmp_path / "none", "openai-chat", holdouts=[read_holdout(path)])

    def test_writes_a_manifest_that_proves_the_file(self, bad_answers: Any, tmp_path: Path) -> None:
        review(bad_answers.client("analyst"), 0, corrected="A kind answer.")
        made = export(bad_answers, tmp_path / "out")
        manifest = orjson.loads((made.folder / "manifest.json").read_bytes())
        assert manifest == made.manifest
        assert manifest["sha256"] == hashlib.sha256((made.folder / "rows.jsonl").read_bytes()).hexdigest()
        assert (manifest["rows"], manifest["format"]) == (2, "trl-unpaired")
        assert manifest["query"] == {"metric": "toxicity", "min_score": 0.5}
        assert len(manifest["reviewers"]) == 1
        assert manifest["detectors"][0].keys() == {"name", "version", "digest"}
        assert manifest["redaction"] == {"kinds": [], "masked": {}}
        lineage = [orjson.loads(line) for line in (made.folder / "lineage.jsonl").read_bytes().splitlines()]
        assert [one["exchange"] for one in lineage] == [exchange(0)] * 2
        with bad_answers.database.read() as tx:
            assert datasets_of(tx, "default", "u-0") == {made.id: 2}
            assert datasets_of(tx, "default", "u-1") == {}

    def test_leaves_out_what_reviewers_disagree_about(self, bad_answers: Any, tmp_path: Path) -> None:
        first, second = bad_answers.client("analyst"), bad_answers.client("analyst")
        review(first, 0, "bad")
        review(second, 0, "good")
        review(first, 1, "good")
        made = export(bad_answers, tmp_path / "out")
        assert made.manifest["dropped"] == {"reviewers disagree": 1}
        # Their latest word counts.
        bad_answers.now_ns += 1
        review(second, 0, "bad")
        assert export(bad_answers, tmp_path / "again").manifest["rows"] == 2

    def test_keeps_to_its_caps(self, bad_answers: Any, tmp_path: Path) -> None:
        analyst = bad_answers.client("analyst")
        for n in range(4):
            review(analyst, n, "good")
        assert export(bad_answers, tmp_path / "a", caps=Caps(per_source=3)).manifest["dropped"] == {
            "more than the cap of its source": 1
        }
        assert export(bad_answers, tmp_path / "b", caps=Caps(per_user=1)).manifest["rows"] == 2

    def test_keeps_out_what_is_held_out(self, bad_answers: Any, tmp_path: Path) -> None:
        analyst = bad_answers.client("analyst")
        review(analyst, 0, "good")
        review(analyst, 1, "good")
        path = tmp_path / "eval.jsonl"
        path.write_text('{"prompt": "question  0?"}\n{"messages": [{"role": "user", "content": "other"}]}\n')
        made = export(bad_answers, tmp_path / "out", holdouts=[read_holdout(path)])
        assert made.manifest["holdout"]["overlap"] == 1
        assert made.manifest["holdout"]["files"][0]["prompts"] == 2
        assert made.manifest["rows"] == 1
        path.write_text('{"text": "x"}\n')
        with pytest.raises(MalformedError, match=r"eval.jsonl:1: no prompt"):
            read_holdout(path)

    def test_masks_what_it_is_told_to(self, server: Any, chat: Chat, tmp_path: Path) -> None:
        server.store(chat(0, prompt="Write to ann@example.org", response="Done, ann@example.org."))
        server.score({"toxicity": 0.9})
        review(server.client("analyst"), 0, "good")
        made = export(server, tmp_path / "out", redact=["email"])
        assert "ann@example.org" not in (made.folder / "rows.jsonl").read_text()
        assert made.manifest["redaction"] == {"kinds": ["email"], "masked": {"email": 2}}

    def test_forgets_what_was_erased(self, bad_answers: Any, tmp_path: Path) -> None:
        analyst = bad_answers.client("analyst")
        review(analyst, 0, corrected="A kind answer.")
        review(analyst, 1, "good")
        with bad_answers.database.write() as tx:
            assert bad_answers.contents.destroy_subject_keys(tx, "default", "u-0") > 0
        made = export(bad_answers, tmp_path / "out")
        assert made.manifest["dropped"] == {"erased": 1}
        assert [row["prompt"][0]["content"] for row in rows_in(made.folder)] == ["Question 1?"]
        assert bad_answers.client("viewer").get(f"/api/v1/reviews?exchange={exchange(0)}").json()["rows"][0]["erased"]

    def test_asks_for_a_selection_a_folder_of_its_own_and_an_incident_that_exists(
        self, bad_answers: Any, tmp_path: Path
    ) -> None:
        review(bad_answers.client("analyst"), 0)
        with pytest.raises(InvalidInputError, match="say what to export"):
            export(bad_answers, tmp_path / "out", chosen=Selection())
        with pytest.raises(NotFoundError, match="no such incident"):
            export(bad_answers, tmp_path / "out", chosen=Selection(incident="i-1"))
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "x").touch()
        with pytest.raises(ConflictError, match="is not empty"):
            export(bad_answers, tmp_path / "full")


class TestTraining:
    def test_is_proposed_and_needs_somebody_else(self, bad_answers: Any, tmp_path: Path) -> None:
        review(bad_answers.client("analyst"), 0, "good")
        made = export(bad_answers, tmp_path / "out")
        approver = bad_answers.client("approver")
        target = {"adapter": "github", "repository": "acme/train", "workflow": "dpo.yml"}
        path = f"/api/v1/datasets/{made.id}"
        assert bad_answers.client("viewer").get(path).json()["sha256"] == made.manifest["sha256"]
        answer = approver.post(f"{path}/train", json={"target": target})
        assert (answer.status_code, answer.json()["state"], answer.json()["kind"]) == (201, "proposed", "finetune")
        assert answer.json()["target"]["dataset"] == made.id
        assert approver.post(f"{path}/train", json={"target": target}).status_code == 409
        assert approver.post(f"{path}/train", json={"target": {"adapter": "mlflow"}}).status_code == 400
        assert approver.post("/api/v1/datasets/none/train", json={"target": target}).status_code == 404
        # It is not planned yet, and its author could not approve it anyway.
        assert approver.post(f"/api/v1/actions/{answer.json()['id']}/approve", json={}).status_code == 409
