"""TRL reads what we export: its own loaders and trainers, in an environment of their own (``make finetune``)."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector.datasets.export import export_dataset
from collector.datasets.formats import Format
from collector.datasets.store import Selection
from collector.dialects.span import NormalSpan
from policies.actors import Actor

pytestmark = [pytest.mark.finetune, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[4]
TRL_FORMATS: tuple[Format, ...] = ("trl-prompt-completion", "trl-preference", "trl-unpaired")


def said(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": one} if isinstance(one, str) else one for one in parts]}


def conversation(n: int) -> list[dict[str, Any]]:
    """A conversation with a tool whose arguments have another type each time, as no table would take them."""
    arguments = {"parcel": n if n % 2 else str(n), f"field_{n}": [n]}
    return [
        said("system", "Be kind."),
        said("user", f"Where is parcel {n}?"),
        said("assistant", {"type": "tool_call", "id": f"c-{n}", "name": "track", "arguments": arguments}),
        said("tool", {"type": "tool_call_response", "id": f"c-{n}", "response": {"eta": "Tuesday"}}),
        said("assistant", "On its way."),
        said("user", f"When does parcel {n} come?"),
    ]


@pytest.fixture
def exports(local_server: Any, chat: Callable[..., NormalSpan], tmp_path: Path) -> dict[Format, Path]:
    """The same reviewed exchanges in every format of TRL."""
    analyst = local_server.client("analyst")
    for n in range(8):
        ids = {"trace_id": f"{n + 1:032x}", "span_id": f"{n + 1:016x}"}
        attributes = {"gen_ai.input.messages": conversation(n)}
        local_server.store(chat(n, prompt=None, response="Stop asking.", attributes=attributes, **ids))
        review = {"exchange": "".join(ids.values()), "verdict": "bad", "corrected": f"On Tuesday, parcel {n}."}
        assert analyst.post("/api/v1/reviews", json=review).status_code == 201
    local_server.score({"toxicity": 0.9})
    place = (local_server.database, local_server.contents, "default", Selection(metric="toxicity"))
    for wanted in TRL_FORMATS:
        export_dataset(*place, wanted, tmp_path / wanted, Actor("olga", "operator"), local_server.now_ns)
    return {wanted: tmp_path / wanted for wanted in TRL_FORMATS}


class Programs:
    """Runs programs in the trainer's environment, with a base model that knows nothing."""

    def __init__(self, folder: Path) -> None:
        self._python = os.environ["TEST_FINETUNE_PYTHON"]
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
        self._environment = {**kept, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1"}
        self.base = folder / "base"
        self.run("examples/finetune/tiny.py", self.base)

    def run(self, program: str, *words: object, code: int = 0) -> str:
        command = [self._python, str(ROOT / program), *map(str, words)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr[-3000:]
        return done.stdout

    def train(self, export: Path, out: Path, *words: object, code: int = 0) -> dict[str, Any]:
        """Train on an export from which nobody was erased, and return the record."""
        status = out.with_suffix(".json")
        status.write_text(json.dumps({**json.loads((export / "manifest.json").read_text()), "stale": None}))
        given = (export, "--out", out, "--base", self.base, "--status", status, *words)
        self.run("examples/finetune/train.py", *given, code=code)
        record: dict[str, Any] = json.loads((out / "training.json").read_text())
        return record


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def test_the_trainer_gives_the_same_adapter_again_and_none_that_is_no_better(
    exports: dict[Format, Path], programs: Programs, tmp_path: Path
) -> None:
    export = exports["trl-prompt-completion"]
    first = programs.train(export, tmp_path / "a", "--learning-rate", 0.01)
    again = programs.train(export, tmp_path / "b", "--learning-rate", 0.01)
    assert first["adapter"] == again["adapter"]
    assert first["heldout"] == again["heldout"]
    assert first["heldout"]["better"] is True
    assert (tmp_path / "a" / first["adapter"]["file"]).stat().st_size > 1000
    other = programs.train(export, tmp_path / "c", "--learning-rate", 0.01, "--seed", 1)
    assert other["adapter"]["sha256"] != first["adapter"]["sha256"]
    # One that learned nothing is on record, and the exit code keeps it from being reported as done.
    idle = programs.train(export, tmp_path / "d", "--learning-rate", 0, code=1)
    assert idle["heldout"]["base"] == idle["heldout"]["adapter"]
    assert idle["heldout"]["better"] is False


def test_trl_reads_every_format_and_learns_from_it(exports: dict[Format, Path], programs: Programs) -> None:
    lines = programs.run("tests/read_exports.py", programs.base, *exports.values()).splitlines()
    told = [json.loads(line.removeprefix("export: ")) for line in lines if line.startswith("export: ")]
    supervised, preference, unpaired = told

    prompt = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Where is parcel 0?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"type": "function", "function": {"name": "track", "arguments": {"parcel": "0", "field_0": [0]}}}
            ],
        },
        {"role": "tool", "content": '{"eta":"Tuesday"}', "name": "track"},
        {"role": "assistant", "content": "On its way."},
        {"role": "user", "content": "When does parcel 0 come?"},
    ]
    for one in told:
        # The very rows, without keys of other rows filled in as null.
        assert one["loaded"]["prompt"] == prompt
        assert one["steps"] >= 1
        assert math.isfinite(one["loss"])
    assert (supervised["method"], supervised["rows"]) == ("sft", 8)
    whole = supervised["texts"]["input_ids"]
    for words in ("Be kind.", 'track({"parcel": "0", "field_0": [0]})', '{"eta":"Tuesday"}', "On its way."):
        assert words in whole
    # Only the answer that was reviewed is learned, not the one before it.
    assert supervised["texts"]["learned"].strip() == "On Tuesday, parcel 0.<|end|>"

    assert (preference["method"], preference["rows"]) == ("dpo", 8)
    assert preference["texts"]["chosen_ids"].strip() == "On Tuesday, parcel 0.<|end|>"
    assert preference["texts"]["rejected_ids"].strip() == "Stop asking.<|end|>"
    assert "When does parcel 0 come?" in preference["texts"]["prompt_ids"]

    assert (unpaired["method"], unpaired["rows"]) == ("kto", 16)
    assert "label" in unpaired["columns"]
