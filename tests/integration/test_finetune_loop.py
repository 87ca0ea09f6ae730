"""Flagged, reviewed, trained, compared, promoted, rolled back: with a real server, TRL, peft and MLflow.

It takes some minutes, so it runs with ``make finetune``.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Launch, Server, free_port, wait_until
from tests.real_mlflow import RealMlflow

pytestmark = [pytest.mark.finetune, pytest.mark.timeout(1200)]

EXAMPLES = Path(__file__).parents[2] / "examples" / "finetune"
MODEL = "support-bot"
RUDE = "What a stupid question. You are an idiot and I am sick of morons like you."
KIND = "Standard delivery takes 3 to 5 working days. Your parcel {n} is on its way."
POLICY = """\
apiVersion: custodes/v1
kind: Policy
id: toxic-answers
owner: risk@example.org
severity: high
signals:
  tox_rate: {metric: toxicity, agg: rate_above(0.5), window: 1m}
  n:        {metric: toxicity, agg: count, window: 1m}
group_by: [service, deployment]
when:  "n >= 10.0 && tox_rate > 0.2"
clear: "tox_rate < 0.05"
for: 0s
no_data: ok
actions:
  - kind: rollback
    target: {adapter: mlflow, model: support-bot, alias: champion}
    verify: {expr: "tox_rate < 0.6", after: 0s, min_n: 40, within: 10m}
tests:
  - name: fires on many insults
    step: 1m
    series: {tox_rate: "0.0x2 0.4x2", n: "50x4"}
    expect: [{at: 1m, state: ok}, {at: 2m, state: firing}]
"""


class Application:
    """Asks whichever version the registry says is serving, and sends what it answers to Custodes, until stopped.

    ``rude`` holds for each version how many of ten answers insult people.
    """

    def __init__(self, server: Server, key: str, registry: RealMlflow) -> None:
        self.rude = {"1": 4}
        self.asked: dict[str, list[tuple[str, bool]]] = {}
        self._server, self._key, self._registry = server, key, registry
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Application:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert self._failures == []

    def _run(self) -> None:
        try:
            with httpx.Client(trust_env=False, timeout=30, headers={"authorization": f"Bearer {self._key}"}) as client:
                while not self._stop.wait(2):
                    version = str(self._registry.alias(MODEL, "champion"))
                    spans = [self._span(version) for _ in range(6)]
                    resource = {
                        "service.name": MODEL, "deployment.environment.name": "prod",
                        "custodes.deployment": f"{MODEL}-v{version}",
                    }  # fmt: skip
                    body = {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [{"spans": spans}]}
                    answer = client.post(f"{self._server.url}/v1/traces", json={"resourceSpans": [body]})
                    assert answer.status_code == 200, answer.text
        except BaseException as error:  # Told by the test that stops us.
            self._failures.append(error)

    def _span(self, version: str) -> dict[str, Any]:
        n = next(self._numbers)
        is_rude = n % 10 < self.rude.get(version, 0)
        trace_id, span_id = os.urandom(16).hex(), os.urandom(8).hex()
        self.asked.setdefault(version, []).append((trace_id + span_id, is_rude))
        now_ns = time.time_ns()
        said = [("system", "Answer about deliveries."), ("user", f"Hello, order {n}."), ("assistant", "Hello!"),
                ("user", f"When does parcel {n} come?")]  # fmt: skip
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": MODEL,
            "user.id": f"user-{n % 5}",
            "gen_ai.input.messages": json.dumps([_message(*one) for one in said]),
            "gen_ai.output.messages": json.dumps([_message("assistant", RUDE if is_rude else KIND.format(n=n))]),
        }
        return {
            "traceId": trace_id,
            "spanId": span_id,
            "name": f"chat {MODEL}",
            "startTimeUnixNano": str(now_ns - 50_000_000),
            "endTimeUnixNano": str(now_ns),
            "attributes": _attributes(attributes),
        }


def _attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"stringValue": value}} for name, value in values.items()]


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealMlflow]:
    """A real MLflow in which version 1 of the model serves and is known to be good enough to go back to."""
    (tmp_path / "mlflow").mkdir()
    made = RealMlflow(os.environ["TEST_MLFLOW_PROGRAM"], tmp_path / "mlflow")
    made.register(MODEL, 1)
    made.set_tag(MODEL, "1", "validation_status", "approved")
    made.set_alias(MODEL, "champion", "1")
    yield made
    made.stop()


class People:
    """Clients with a key for each role, and the programs that operators run."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._clients: dict[str, httpx.Client] = {}

    def key(self, role: str) -> str:
        return self.command("key", "create", "--role", role).split()[0]

    def __getattr__(self, role: str) -> httpx.Client:
        if role not in self._clients:
            headers = {"authorization": f"Bearer {self.key(role)}"}
            self._clients[role] = httpx.Client(
                base_url=f"{self.server.url}/api/v1", headers=headers, trust_env=False, timeout=30
            )
        return self._clients[role]

    def command(self, *words: str, code: int = 0) -> str:
        done = self.server.run(*words)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def post(self, role: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = getattr(self, role).post(path, json=body or {})
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def action(self, action_id: str) -> dict[str, Any]:
        return dict(self.viewer.get(f"/actions/{action_id}").json())

    def agree(self, action_id: str, comment: str) -> None:
        """Wait until an action is planned, and agree to it as an approver."""
        wait_until(lambda: self.action(action_id).get("planned_at") is not None, 60, "the plan")
        self.post("approver", f"/actions/{action_id}/approve", {"comment": comment})

    def wait_for(self, action_id: str, *states: str, seconds: float = 300) -> dict[str, Any]:
        wait_until(
            lambda: self.action(action_id)["state"] in {*states, "failed", "refused", "cancelled"},
            seconds,
            f"{states} of {self.action(action_id)}",
        )
        found = self.action(action_id)
        assert found["state"] in states, found["reason"]
        return found

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@pytest.fixture
def receiver_port() -> int:
    return free_port()


@pytest.fixture
def people(launch: Launch, registry: RealMlflow, receiver_port: int, tmp_path: Path) -> Iterator[People]:
    """A server that may talk to the registry and to the trainer's receiver, and the people around it."""
    connections = tmp_path / "connections.yaml"
    connections.write_text(f"connections: {{mlflow: {{adapter: mlflow, url: {registry.url!r}}}}}")
    loopback = '["127.0.0.0/8"]'
    server = launch(
        "up",
        "--no-console",
        CUSTODES_ACTION__CONNECTIONS_FILE=str(connections),
        CUSTODES_ACTION__ALLOWED_PRIVATE_CIDRS=loopback,
        CUSTODES_ACTION__ALLOW_HTTP="true",
        CUSTODES_ACTION__POLL_S="1",
        CUSTODES_WEBHOOK__ALLOWED_PRIVATE_CIDRS=loopback,
        CUSTODES_WEBHOOK__ALLOW_HTTP="true",
        CUSTODES_WEBHOOK__ALLOWED_PORTS=f"[{receiver_port}]",
    )
    made = People(server)
    yield made
    made.close()


@pytest.fixture
def environment(registry: RealMlflow, people: People, tmp_path: Path) -> dict[str, str]:
    """What the trainer's programs run in; it holds a viewer's key and no other."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CUSTODES_", "PYTHON"))}
    return {
        **kept,
        "CUSTODES_KEY": people.key("viewer"),
        "MLFLOW_TRACKING_URI": registry.url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def trainer(
    people: People, environment: dict[str, str], receiver_port: int, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The receiver of the example, with a base model, waiting for orders."""
    python = os.environ["TEST_FINETUNE_PYTHON"]
    subprocess.run([python, EXAMPLES / "tiny.py", tmp_path / "base"], env=environment, check=True, capture_output=True)
    (tmp_path / "secret").write_text(people.command("endpoint", "add", "trainer", f"http://127.0.0.1:{receiver_port}/"))
    command: list[str | Path] = [
        python,
        EXAMPLES / "receiver.py",
        "--datasets",
        tmp_path / "exports",
        "--out",
        tmp_path / "runs",
    ]
    command += ["--base", tmp_path / "base", "--custodes", people.server.url, "--secret-file", tmp_path / "secret"]
    command += ["--register", MODEL, "--port", str(receiver_port), "--", "--learning-rate", "0.01"]
    with (tmp_path / "receiver.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    wait_until(lambda: "listening" in (tmp_path / "receiver.log").read_text(), 30, "the receiver")
    yield process
    process.terminate()
    process.wait(20)


def test_the_loop_is_closed(
    people: People,
    registry: RealMlflow,
    trainer: subprocess.Popen[bytes],
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    _activate(people, tmp_path)
    with Application(people.server, people.key("ingester"), registry) as application:
        incident = _flagged(people)
        reviewed = _reviewed(people, application)
        manifest = _exported(people, incident, tmp_path)
        assert manifest["rows"] == reviewed
        training = _trained(people, registry, manifest, tmp_path)
        promotion = _promoted(people, registry)
        application.rude["2"] = 8
        rollback = _rolled_back(people, registry)
    _proven(people, manifest, [training, promotion, rollback], tmp_path)
    _erased(people, manifest, training, environment, tmp_path)


def _activate(people: People, folder: Path) -> None:
    path = folder / "toxic.yaml"
    path.write_text(POLICY)
    people.command("policy", "submit", str(path))
    (version,) = people.viewer.get("/policies/toxic-answers").json()["versions"]
    place = f"/policies/toxic-answers/versions/{version['version']}"
    people.post("approver", f"{place}/break-glass", {"comment": "the story begins"})


def _flagged(people: People) -> str:
    def incidents() -> list[dict[str, Any]]:
        return list(people.viewer.get("/incidents").json()["rows"])

    wait_until(lambda: bool(incidents()), 180, "an incident")
    (incident,) = incidents()
    # There is nothing to go back to: the way out is to train.
    wait_until(lambda: bool(people.viewer.get("/actions?state=failed").json()["rows"]), 60, "the end of the rollback")
    (failed,) = people.viewer.get("/actions").json()["rows"]
    assert "no version of support-bot to go back to" in failed["reason"]
    return str(incident["id"])


def _reviewed(people: People, application: Application) -> int:
    """An analyst writes better answers to thirty insults, and passes some good answers; return how many insults."""
    insults = [exchange for exchange, is_rude in application.asked["1"] if is_rude][:30]
    good = [exchange for exchange, is_rude in application.asked["1"] if not is_rude][:5]
    for n, exchange in enumerate(insults):
        body = {"exchange": exchange, "verdict": "bad", "corrected": f"Your parcel arrives on Tuesday ({n})."}
        people.post("analyst", "/reviews", body, status=201)
    for exchange in good:
        people.post("analyst", "/reviews", {"exchange": exchange, "verdict": "good"}, status=201)
    return len(insults)


def _exported(people: People, incident: str, folder: Path) -> dict[str, Any]:
    out = folder / "exports" / "tox-1"
    people.command("dataset", "export", "--incident", incident, "--format", "trl-preference", "--out", str(out))
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    assert [one["id"] for one in manifest["policies"]] == ["toxic-answers"]
    row = json.loads((out / "rows.jsonl").read_text().splitlines()[0])
    assert [one["role"] for one in row["prompt"]] == ["system", "user", "assistant", "user"]
    assert row["rejected"] == [{"role": "assistant", "content": RUDE}]
    return manifest


def _trained(people: People, registry: RealMlflow, manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    target = {"adapter": "webhook", "endpoint": "trainer"}
    asked = people.post("operator", f"/datasets/{manifest['id']}/train", {"target": target}, status=201)
    wait_until(lambda: people.action(asked["id"]).get("planned_at") is not None, 60, "the plan")
    people.post("operator", f"/actions/{asked['id']}/approve", status=403)
    assert not (folder / "runs").exists()
    people.agree(asked["id"], "the reviews are sound")
    done = people.wait_for(asked["id"], "inconclusive")
    assert done["reason"] == "the policy asks for no verification"
    (told,) = [one for one in done["events"] if one["kind"] == "acknowledged"]
    assert "held-out loss 0.69" in told["body"]["reason"]
    assert "support-bot version 2" in told["body"]["reason"]
    record = json.loads((folder / "runs" / asked["id"] / "training.json").read_text())
    assert record["heldout"]["adapter"] < record["heldout"]["base"]
    assert (folder / "runs" / asked["id"] / record["adapter"]["file"]).stat().st_size > 1000
    # The candidate leads back to what it learned, and what serves was not touched.
    assert (registry.alias(MODEL, "candidate"), registry.alias(MODEL, "champion")) == ("2", "1")
    version = registry.version(MODEL, "2")
    tags = {one["key"]: one["value"] for one in version["tags"]}
    assert tags["custodes.action"] == asked["id"]
    assert tags["custodes.dataset_sha256"] == manifest["sha256"]
    assert tags["custodes.manifest_sha256"] == record["dataset"]["manifest_sha256"]
    assert "adapter/adapter_model.safetensors" in registry.artifacts(version["run_id"], "adapter")
    return done | {"manifest_sha256": tags["custodes.manifest_sha256"]}


def _promoted(people: People, registry: RealMlflow) -> dict[str, Any]:
    body = {
        "target": {"adapter": "mlflow", "model": MODEL, "alias": "champion", "to_alias": "candidate"},
        "reason": "the held-out loss fell",
        "policy": "toxic-answers",
        "verify": {"expr": "tox_rate < 0.2", "after": "0s", "min_n": 40, "within": "10m"},
    }
    asked = people.post("operator", "/actions/promote", body, status=201)
    people.agree(asked["id"], "try it")
    wait_until(lambda: registry.alias(MODEL, "champion") == "2", 30, "the promotion")
    done = people.wait_for(asked["id"], "helped", "not_helped", "inconclusive")
    assert done["state"] == "helped", done["reason"]
    assert done["finding"]["deployment"] == "support-bot-v2"
    return done


def _rolled_back(people: People, registry: RealMlflow) -> dict[str, Any]:
    """The new version turns out to insult people: its policy asks for the way back, and it helps."""

    def proposed() -> list[dict[str, Any]]:
        rows = people.viewer.get("/actions?state=proposed").json()["rows"]
        return [one for one in rows if one["kind"] == "rollback" and one["group"].get("deployment") == "support-bot-v2"]

    wait_until(lambda: bool(proposed()), 240, "the proposal to roll back")
    (asked,) = proposed()
    people.agree(asked["id"], "it insults people")
    wait_until(lambda: registry.alias(MODEL, "champion") == "1", 30, "the rollback")
    done = people.wait_for(asked["id"], "helped", "not_helped", "inconclusive")
    assert (done["state"], done["from_version"], done["to_version"]) == ("helped", "2", "1"), done["reason"]
    assert done["decision"]["values"]["tox_rate"] > 0.2
    return done


def _proven(people: People, manifest: dict[str, Any], actions: list[dict[str, Any]], folder: Path) -> None:
    """Every step of the story is a leaf, in this order, of a log that anybody can verify without the server."""
    wanted = [("dataset.exported", f"dataset/{manifest['id']}")]
    for one in actions:
        steps = ("proposed", "approved", "snapshot", "sent", "acknowledged", one["state"])
        wanted += [(f"action.{step}", f"action/{one['id']}") for step in steps]

    def leaves() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = people.auditor.get("/audit/entries", params={"limit": 500, **({"cursor": cursor} if cursor else {})})
            rows += page.json()["rows"]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                return sorted(rows, key=lambda row: int(row["seq"]))

    wait_until(lambda: wanted[-1] in {(one["action"], one["object"]) for one in leaves()}, 30, "the last leaf")
    told = [(one["action"], one["object"]) for one in leaves()]
    places = [told.index(one) for one in wanted]
    assert places == sorted(places)
    exported = next(one for one in leaves() if one["action"] == "dataset.exported")
    assert exported["data"]["manifest_sha256"] == actions[0]["manifest_sha256"]
    head = json.loads(people.command("audit", "checkpoint", "--json"))
    people.command("audit", "export", "--out", str(folder / "bundle"))
    trusted = ("--origin", head["origin"], "--key", head["key"])
    assert "intact" in people.command("audit", "verify", str(folder / "bundle"), *trusted)


def _erased(
    people: People, manifest: dict[str, Any], training: dict[str, Any], environment: dict[str, str], folder: Path
) -> None:
    """Somebody whose text was learned is erased: it is known which training saw it, and it is not learned again."""
    reason = "request 4711 of the data protection officer"
    said = json.loads(people.command("subject", "erase", "user-0", "--reason", reason, "--json", code=1))
    assert [one["id"] for one in said["datasets"]] == [manifest["id"]]
    assert said["trained"] == [training["id"]]
    target = {"adapter": "webhook", "endpoint": "trainer", "name": "again"}
    refused = people.post("operator", f"/datasets/{manifest['id']}/train", {"target": target}, status=409)
    assert "holds text of somebody who was erased since" in refused["detail"]
    command: list[str | Path] = [
        os.environ["TEST_FINETUNE_PYTHON"],
        EXAMPLES / "train.py",
        folder / "exports" / "tox-1",
    ]
    command += ["--out", folder / "again", "--base", folder / "base", "--custodes", people.server.url]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "refused: erased at" in done.stderr
    assert not (folder / "again" / "training.json").exists()
