"""Reads detoxify's checkpoints without running what a pickle may hold, and checks that every weight finds its place.

A checkpoint is ``{"state_dict": …, "config": …}``: the configuration of the training run names the architecture, the
tokenizer and the classes (detoxify 0.5.4, ``convert_weights.py`` and ``load_checkpoint``). The shape of the network is
not in it: that comes from a ``config.json`` beside it, never from a hub.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from detectors.bundles import Bundle
from detectors.errors import ModelFileError
from detectors.full.loading import first_line, hub_closed, read_config

# The names Jigsaw's first competition used, and those that all detoxify models are asked by.
RENAMED_LABELS: Final = {"toxic": "toxicity", "severe_toxic": "severe_toxicity", "identity_hate": "identity_attack"}
ARCHITECTURES: Final = (
    "AlbertForSequenceClassification",
    "BertForSequenceClassification",
    "RobertaForSequenceClassification",
    "XLMRobertaForSequenceClassification",
)
# The publisher's convention: a file name ends in the first eight digits of the file's own SHA-256.
_NAMED_DIGEST: Final = re.compile(r"-([0-9a-f]{8})\.ckpt")
# Buffers that older transformers releases stored, and the pooler of models whose classifier never used it.
_IDLE_WEIGHTS: Final = re.compile(r"(?:.*\.)?position_ids|(?:roberta)\.pooler\.dense\.(?:weight|bias)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: weights, architecture, tokenizer class, number of outputs, and the names of the first.

    ``labels`` carry detoxify's names. There may be more outputs than labels: the identity heads of the models trained
    against bias, which no score is made of.
    """

    weights: Mapping[str, torch.Tensor]
    architecture: str
    tokenizer_class: str
    outputs: int
    labels: tuple[str, ...]


def find_checkpoint(bundle: Bundle) -> Path | None:
    """Return the one ``.ckpt`` file of a bundle, or None; raises ModelFileError if there are several."""
    found = [one for one in bundle.files if one.path.endswith(".ckpt")]
    if len(found) > 1:
        raise ModelFileError(f"model bundle {bundle.name} holds {len(found)} checkpoints; leave one")
    if not found:
        return None
    named = _NAMED_DIGEST.search(found[0].path)
    if named is not None and not found[0].sha256.startswith(named[1]):
        raise ModelFileError(
            f"{found[0].path} in model bundle {bundle.name} is not the file its name promises: its SHA-256 begins with "
            f"{found[0].sha256[:8]}; get it again"
        )
    return bundle.file(found[0].path)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; raises ModelFileError if it holds more than tensors and plain values, or is none of detoxify.

    Class names are renamed as the package does it.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            f"{path} holds more than weights and plain values, and what else it holds is not run: {first_line(error)}"
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise ModelFileError(f"{path} is not a checkpoint: {first_line(error)}") from error
    try:
        arch = content["config"]["arch"]["args"]
        classes = content["config"]["dataset"]["args"]["classes"]
        checkpoint = Checkpoint(
            weights={str(name): tensor for name, tensor in content["state_dict"].items()},
            architecture=str(arch["model_name"]),
            tokenizer_class=str(arch["tokenizer_name"]),
            outputs=int(arch["num_classes"]),
            labels=tuple(RENAMED_LABELS.get(name, str(name)) for name in classes),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path} is not a checkpoint of detoxify: {type(error).__name__} at {error}") from error
    if checkpoint.architecture not in ARCHITECTURES:
        raise ModelFileError(f"{path} is of {checkpoint.architecture}; known are {', '.join(ARCHITECTURES)}")
    if not 0 < len(checkpoint.labels) <= checkpoint.outputs:
        raise ModelFileError(f"{path} names {len(checkpoint.labels)} labels for {checkpoint.outputs} outputs")
    return checkpoint


def build_model(checkpoint: Checkpoint, folder: Path) -> Any:
    """Return the network of a checkpoint, built after the folder's ``config.json``, in float32 on the CPU.

    Every weight of the network comes from the checkpoint and every weight of the checkpoint is used, but for buffers
    and poolers that no output depends on. Raises ModelFileError naming what is missing or left over.
    """
    import transformers  # noqa: PLC0415

    read_config(folder)
    model_class = getattr(transformers, checkpoint.architecture)
    try:
        with hub_closed():
            config = model_class.config_class.from_pretrained(
                folder, num_labels=checkpoint.outputs, local_files_only=True
            )
        model = model_class(config)
        needed = model.state_dict().keys()
        weights = {
            name: tensor
            for name, tensor in checkpoint.weights.items()
            if name in needed or _IDLE_WEIGHTS.fullmatch(name) is None
        }
        model.load_state_dict(weights, strict=True)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:300]
        raise ModelFileError(f"the checkpoint does not fit {folder / 'config.json'}: {detail}") from error
    return model


def find_strayed_weight(model: Any, checkpoint: Checkpoint) -> str | None:
    """Return the name of a weight of the network that isn't the checkpoint's, or None if all of them are."""
    for name, tensor in model.state_dict().items():
        given = checkpoint.weights.get(name)
        if given is None or not torch.equal(tensor.cpu(), given):
            return str(name)
    return None
