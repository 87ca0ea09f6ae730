"""Trains a LoRA adapter on a data set that Custodes exported, compares it with its base, and registers it.

    python train.py DATASET --out OUT --base MODEL --custodes http://127.0.0.1:4318 [--register support-bot]

Refuses a data set whose rows are not those of its manifest, one that holds text erased since, and one that overlaps
with the hold-out. Leaves ``adapter/`` and ``training.json`` in OUT. With ``MLFLOW_TRACKING_URI`` and ``--register`` the
adapter becomes a version of that model, and gets the alias ``candidate`` if the held-out loss fell. What serves is
never touched: that is an action somebody agrees to. Exits 1 when it refuses, or when the adapter is no better.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from dataset import DataSet, Refused, Row, check_status, read_dataset, read_holdout, read_status, split
from datasets import Dataset, load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

TRAINERS = {"sft": (SFTTrainer, SFTConfig), "dpo": (DPOTrainer, DPOConfig), "kto": (KTOTrainer, KTOConfig)}
CANDIDATE = "candidate"


def main() -> int:
    """Train as the command line says; return the exit code."""
    given = _parse()
    try:
        found = read_dataset(given.dataset, given.sha256)
        check_status(found, _status(given, found))
        learn, held = (
            (found.rows, read_holdout(found, given.holdout))
            if given.holdout
            else split(found.rows, given.share, given.seed)
        )
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    record = train(found, learn, held, given)
    if given.register and os.environ.get("MLFLOW_TRACKING_URI"):
        record["registered"] = register(given.register, given.out, record)
    (given.out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    loss = record["heldout"]
    print(
        f"held-out loss {loss['base']:.4f} -> {loss['adapter']:.4f} on {loss['rows']} rows; {given.out}/training.json"
    )
    return 0 if loss["better"] else 1


def train(found: DataSet, learn: list[Row], held: list[Row], given: argparse.Namespace) -> dict[str, Any]:
    """Train, save the adapter, and return the record. The same inputs, seed and versions give the same adapter."""
    started, adapter = _now(), given.out / "adapter"
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        trainer = make_trainer(found.method, learn, held, given, Path(scratch))
        # LoRA starts as no change at all, so this is the base model's.
        before = trainer.evaluate()["eval_loss"]
        trainer.train()
        after = trainer.evaluate()["eval_loss"]
        trainer.model.save_pretrained(adapter)
        trainer.processing_class.save_pretrained(adapter)
    manifest = found.manifest
    return {
        "action": given.action,
        "dataset": {
            "id": manifest["id"],
            "format": manifest["format"],
            "sha256": manifest["sha256"],
            "manifest_sha256": found.digest,
            "erasure_cutoff": manifest["erasure_cutoff"],
            "reviewers": manifest["reviewers"],
        },
        "base": {"path": str(given.base), "sha256": _hash_files(Path(given.base).glob("*.safetensors"))},
        "adapter": {"file": "adapter/adapter_model.safetensors", "sha256": _hash_files(adapter.glob("*.safetensors"))},
        "method": found.method,
        "settings": {name: getattr(given, name) for name in ("epochs", "rank", "learning_rate", "max_length", "seed")},
        "trained_rows": len(learn),
        "heldout": {
            "rows": len(held),
            "from": given.holdout.name if given.holdout else f"{given.share:g} of the data set",
            "base": before,
            "adapter": after,
            "better": after < before,
        },
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "peft", "datasets")},
        "started_at": started,
        "finished_at": _now(),
    }


def make_trainer(method: str, learn: list[Row], held: list[Row], given: argparse.Namespace, scratch: Path) -> Any:
    """Return TRL's trainer for ``method`` over these rows, on the CPU."""
    set_seed(given.seed)
    torch.set_num_threads(given.threads)
    trainer, config = TRAINERS[method]
    arguments = config(
        output_dir=str(scratch),
        num_train_epochs=given.epochs,
        learning_rate=given.learning_rate,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        max_length=given.max_length,
        seed=given.seed,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    return trainer(
        model=AutoModelForCausalLM.from_pretrained(given.base, local_files_only=True, dtype=torch.float32),
        args=arguments,
        train_dataset=load_rows(learn, scratch / "learn.jsonl"),
        eval_dataset=load_rows(held, scratch / "held.jsonl"),
        processing_class=AutoTokenizer.from_pretrained(given.base, local_files_only=True),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", r=given.rank, lora_alpha=2 * given.rank, target_modules="all-linear"
        ),
    )


def load_rows(rows: list[Row], path: Path) -> Dataset:
    """Return rows as TRL takes them. They go through a file: its loader leaves what tools were given as it was."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_dataset("json", data_files=str(path), split="train", cache_dir=str(path.parent / "cache"))


def register(name: str, out: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Register the adapter as a version of model ``name``, and let ``candidate`` name it if it is better."""
    # Importing it takes seconds, and not everybody has a registry.
    from mlflow import MlflowClient  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    client = MlflowClient()
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    dataset, loss = record["dataset"], record["heldout"]
    run = client.create_run(_experiment(client), run_name=f"finetune {dataset['id']}")
    client.log_artifacts(run.info.run_id, str(out / "adapter"), "adapter")
    client.log_dict(run.info.run_id, record, "training.json")
    for metric in ("base", "adapter"):
        client.log_metric(run.info.run_id, f"heldout_loss_{metric}", loss[metric])
    client.set_terminated(run.info.run_id)
    tags = {
        "custodes.action": record["action"],
        "custodes.dataset": dataset["id"],
        "custodes.dataset_sha256": dataset["sha256"],
        "custodes.manifest_sha256": dataset["manifest_sha256"],
        "custodes.adapter_sha256": record["adapter"]["sha256"],
        "custodes.heldout_loss_base": f"{loss['base']:.6f}",
        "custodes.heldout_loss": f"{loss['adapter']:.6f}",
    }
    made = client.create_model_version(
        name,
        source=f"{run.info.artifact_uri}/adapter",
        run_id=run.info.run_id,
        tags={k: v for k, v in tags.items() if v},
    )
    if loss["better"]:
        client.set_registered_model_alias(name, CANDIDATE, made.version)
    return {"model": name, "version": str(made.version), "alias": CANDIDATE if loss["better"] else None}


def _experiment(client: Any) -> str:
    found = client.get_experiment_by_name("finetune")
    return str(found.experiment_id if found else client.create_experiment("finetune"))


def _status(given: argparse.Namespace, found: DataSet) -> dict[str, Any]:
    if given.status:
        return dict(json.loads(given.status.read_bytes()))
    return read_status(found.manifest["id"], given.custodes, os.environ.get("CUSTODES_KEY"))


def _hash_files(paths: Any) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder that custodes dataset export has written")
    parser.add_argument("--out", type=Path, required=True, help="folder for the adapter and the record")
    parser.add_argument("--base", required=True, help="folder of a causal language model in the Hugging Face format")
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--custodes", metavar="URL", help="server to ask about erasures; CUSTODES_KEY is a viewer's key")
    whom.add_argument(
        "--status", type=Path, help="what custodes dataset show printed, where the server is out of reach"
    )
    parser.add_argument("--sha256", help="what the rows have to hash to, from the order to train")
    parser.add_argument("--action", default="", help="id of the action that asked for this")
    parser.add_argument("--register", metavar="MODEL", help="name of the model in MLflow's registry")
    parser.add_argument("--holdout", type=Path, help="JSONL that the export has kept out; else a share of the rows")
    parser.add_argument("--share", type=float, default=0.2, help="share of the questions to hold out without --holdout")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    return given


if __name__ == "__main__":
    sys.exit(main())
