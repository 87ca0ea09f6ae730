"""Reads exported data sets with TRL's own trainers, in their environment, and says what these made of them.

    python read_exports.py BASE FOLDER…

Prints one JSON object a folder: the columns after preparation, and texts decoded from the tokens of the first row.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "finetune"))

from dataset import read_dataset
from datasets import load_dataset
from train import make_trainer

MASKED = -100


def read(base: str, folder: Path) -> dict:
    found = read_dataset(folder)
    given = argparse.Namespace(
        base=base, epochs=1, learning_rate=1e-3, rank=4, max_length=1024, seed=0, threads=1, holdout=None
    )
    with tempfile.TemporaryDirectory() as scratch:
        path = str(folder / found.manifest["file"])
        loaded = load_dataset("json", data_files=path, split="train", cache_dir=f"{scratch}/cache")
        trainer = make_trainer(found.method, found.rows, found.rows, given, Path(scratch))
        first, decode = trainer.train_dataset[0], trainer.processing_class.decode
        texts = {name: decode(first[name]) for name in first if name.endswith("_ids")}
        if "labels" in first:
            texts["learned"] = decode([one for one in first["labels"] if one != MASKED])
        trained = trainer.train()
    return {
        "method": found.method,
        "loaded": loaded[0],
        "columns": sorted(trainer.train_dataset.column_names),
        "rows": len(trainer.train_dataset),
        "texts": texts,
        "steps": trained.global_step,
        "loss": trained.training_loss,
    }


for one in sys.argv[2:]:
    sys.stdout.write(f"export: {json.dumps(read(sys.argv[1], Path(one)))}\n")
