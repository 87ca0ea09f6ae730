"""What the example trainer refuses, and how its receiver answers. No heavy package is needed for either."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from policies.audit.canonical import canonical_bytes

FOLDER = Path(__file__).parents[3] / "examples" / "finetune"
CUTOFF = "2026-11-28T09:00:00.000000000Z"
SECRET = "whsec_" + "c2VjcmV0" * 4


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"finetune_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Its dataclasses look themselves up there.
    spec.loader.exec_module(module)
    return module


dataset = load("dataset")


def row(question: str) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": "Yes."}],
    }


def write(folder: Path, rows: list[dict[str, Any]], /, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    content = b"".join(json.dumps(one).encode() + b"\n" for one in rows)
    manifest = {
        "id": "ds-1",
        "format": "trl-prompt-completion",
        "file": "rows.jsonl",
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": len(rows),
        "erasure_cutoff": CUTOFF,
        "holdout": {"files": [], "overlap": 0},
        **changes,
    }
    (folder / "rows.jsonl").write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def status(found: Any, stale: Any = None) -> dict[str, Any]:
    return {**found.manifest, "stale": stale}


class TestReadDataset:
    def test_takes_what_the_manifest_describes(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "d", [row("a"), row("b")])
        found = dataset.read_dataset(folder, json.loads((folder / "manifest.json").read_text())["sha256"])
        assert (len(found.rows), found.method) == (2, "sft")
        # The digest is the one that the audit log has of the export.
        assert found.digest == hashlib.sha256(canonical_bytes(found.manifest)).hexdigest()

    def test_refuses_other_rows(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "d", [row("a")])
        with pytest.raises(dataset.Refused, match="was ordered"):
            dataset.read_dataset(folder, "0" * 64)
        (folder / "rows.jsonl").write_bytes((folder / "rows.jsonl").read_bytes().replace(b"Yes", b"No!"))
        with pytest.raises(dataset.Refused, match="its manifest says"):
            dataset.read_dataset(folder)

    @pytest.mark.parametrize(("changes", "words"), [({"rows": 3}, "has 1 rows"), ({"format": "openai-chat"}, "reads")])
    def test_refuses_what_it_does_not_understand(self, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(dataset.Refused, match=words):
            dataset.read_dataset(write(tmp_path / "d", [row("a")], **changes))
        with pytest.raises(dataset.Refused, match="no whole data set"):
            dataset.read_dataset(tmp_path)


class TestCheckStatus:
    def test_lets_through_what_nobody_was_erased_from(self, tmp_path: Path) -> None:
        found = dataset.read_dataset(write(tmp_path / "d", [row("a")]))
        dataset.check_status(found, status(found))

    @pytest.mark.parametrize("at", [CUTOFF, "2026-11-28T09:00:00.000001000Z", "2026-12-01T00:00:00Z"])
    def test_refuses_after_an_erasure(self, tmp_path: Path, at: str) -> None:
        found = dataset.read_dataset(write(tmp_path / "d", [row("a")]))
        with pytest.raises(dataset.Refused, match="after the cut-off"):
            dataset.check_status(found, status(found, {"at": at, "reason": "gone"}))

    def test_refuses_a_manifest_that_is_not_on_record(self, tmp_path: Path) -> None:
        found = dataset.read_dataset(write(tmp_path / "d", [row("a")]))
        with pytest.raises(dataset.Refused, match="on record"):
            dataset.check_status(found, {**status(found), "reviewers": ["mallory"]})
        with pytest.raises(dataset.Refused, match="does not say"):
            dataset.check_status(found, dict(found.manifest))

    def test_refuses_when_nobody_can_say(self) -> None:
        with pytest.raises(dataset.Refused, match="nobody could say"):
            dataset.read_status("ds-1", "http://127.0.0.1:9", None)


class TestHoldout:
    def test_has_to_be_known_to_the_export_and_apart_from_it(self, tmp_path: Path) -> None:
        path = tmp_path / "eval.jsonl"
        path.write_text(json.dumps(row("Held  OUT?")) + "\n")
        files = {"files": [{"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}], "overlap": 0}
        unknown = dataset.read_dataset(write(tmp_path / "a", [row("a")]))
        with pytest.raises(dataset.Refused, match="was not kept out"):
            dataset.read_holdout(unknown, path)
        overlapping = dataset.read_dataset(write(tmp_path / "b", [row("held out?")], holdout=files))
        with pytest.raises(dataset.Refused, match="1 questions"):
            dataset.read_holdout(overlapping, path)
        apart = dataset.read_dataset(write(tmp_path / "c", [row("a")], holdout=files))
        assert dataset.read_holdout(apart, path) == [row("Held  OUT?")]

    def test_never_splits_a_question(self) -> None:
        rows = [row(f"Question {n % 10}?") for n in range(30)]
        learn, held = dataset.split(rows, 0.2, 0)
        assert (len(learn), len(held)) == (24, 6)
        assert not {dataset.question_of(one) for one in learn} & {dataset.question_of(one) for one in held}
        assert dataset.split(rows, 0.2, 0) == (learn, held)
        with pytest.raises(dataset.Refused, match="too few"):
            dataset.split([row("a")] * 5, 0.2, 0)


class Custodes:
    """Takes callbacks, and keeps those that are signed."""

    def __init__(self) -> None:
        self.callbacks: list[dict[str, Any]] = []
        self.arrived = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.callbacks.append(Webhook(SECRET).verify(body, dict(self.headers)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()
                outer.arrived.set()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def custodes() -> Iterator[Custodes]:
    made = Custodes()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def receiver(custodes: Custodes, tmp_path: Path) -> Iterator[str]:
    """A receiver that has no exports."""
    with receiving(custodes, tmp_path) as url:
        yield url


@contextmanager
def receiving(custodes: Custodes, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "secret").write_text(SECRET + "\n")
    given = argparse.Namespace(
        secret_file=tmp_path / "secret", custodes=custodes.url, datasets=tmp_path, out=tmp_path / "runs", base=tmp_path,
        register=None, port=0, more=[],
    )  # fmt: skip
    server = load("receiver").make_server(given)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def send(url: str, data: dict[str, Any], kind: str = "action.dispatched", secret: str = SECRET) -> int:
    body, now = json.dumps({"type": kind, "data": data}), datetime.now(UTC)
    headers = {
        "webhook-id": "act_a-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("act_a-1", now, body),
    }
    return httpx.post(url, content=body, headers=headers, trust_env=False).status_code


def order(custodes: Custodes, **changes: Any) -> dict[str, Any]:
    return {
        "action_id": "a-1",
        "kind": "finetune",
        "target": {"dataset": "ds-9", "sha256": "0" * 64},
        "callback": f"{custodes.url}/api/v1/actions/a-1/callback",
        **changes,
    }


class TestReceiver:
    def test_answers_an_order_once_by_signed_callback(self, receiver: str, custodes: Custodes) -> None:
        assert send(receiver, order(custodes)) == 202
        assert custodes.arrived.wait(10)
        wanted = {"action_id": "a-1", "result": "failed", "detail": "no export of data set ds-9 lies here"}
        assert custodes.callbacks == [wanted]
        # An order that is repeated is answered again, and not carried out again.
        custodes.arrived.clear()
        assert send(receiver, order(custodes)) == 202
        assert custodes.arrived.wait(10)
        assert custodes.callbacks == [wanted, wanted]

    def test_goes_on_with_an_order_that_was_cut_off(self, custodes: Custodes, tmp_path: Path) -> None:
        (tmp_path / "runs" / "a-1").mkdir(parents=True)
        (tmp_path / "runs" / "a-1" / "order.json").write_text(json.dumps(order(custodes)))
        with receiving(custodes, tmp_path):
            assert custodes.arrived.wait(10)
        assert [one["action_id"] for one in custodes.callbacks] == ["a-1"]
        # What was told is not told again at the next start.
        for _ in range(100):
            if (tmp_path / "runs" / "a-1" / "told").exists():
                break
            threading.Event().wait(0.05)
        with receiving(custodes, tmp_path) as url:
            assert send(url, order(custodes), kind="incident.opened") == 204
        assert len(custodes.callbacks) == 1

    def test_says_that_it_cannot_read_what_lies_there(self, receiver: str, custodes: Custodes, tmp_path: Path) -> None:
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "manifest.json").write_text("{")
        assert send(receiver, order(custodes)) == 202
        assert custodes.arrived.wait(10)
        assert custodes.callbacks[0]["result"] == "failed"
        assert "could not be run" in custodes.callbacks[0]["detail"]

    def test_takes_no_orders_of_others(self, receiver: str, custodes: Custodes) -> None:
        assert send(receiver, order(custodes), secret="whsec_" + "b3RoZXJz" * 4) == 401
        assert send(receiver, order(custodes), kind="incident.opened") == 204
        assert send(receiver, order(custodes, kind="rollback")) == 204
        assert send(receiver, order(custodes, callback="http://127.0.0.1:9/api/v1/actions/a-1/callback")) == 400
        assert send(receiver, order(custodes, action_id="../x")) == 400
        assert send(receiver, order(custodes, target={})) == 400
        assert custodes.callbacks == []
