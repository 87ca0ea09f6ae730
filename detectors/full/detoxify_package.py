"""The one place that imports detoxify: its own builder, and where it publishes its weights.

The package reads a checkpoint with an unpickler that runs code, and asks the hub for a configuration before it looks at
the local one. Both happen in its outer function. The inner one, which builds model and tokenizer, does neither when it
is told a local folder for everything (checked with sockets closed), so that is what is called, with a checkpoint that
was read safely.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detectors.errors import ModelFileError
from detectors.full.checkpoint import Checkpoint, find_strayed_weight
from detectors.full.loading import first_line, hub_closed


def build_by_package(checkpoint: Checkpoint, folder: Path) -> Any:
    """Return detoxify's own ``Detoxify`` object for a checkpoint, built from local files, in float32 on the CPU.

    Its ``predict``, ``model``, ``tokenizer`` and ``class_names`` are those of the package. The folder's ``config.json``
    must state as many labels as the checkpoint has outputs, since the package takes the number from there. Raises
    ModelFileError if the package is not installed, does not build it, or leaves out or makes up a weight.
    """
    try:
        from detoxify import Detoxify  # noqa: PLC0415
        from detoxify.detoxify import get_model_and_tokenizer  # noqa: PLC0415
    except ImportError as error:
        raise ModelFileError("detoxify is not installed: pip install 'custodes[full]'") from error
    try:
        with hub_closed():
            model, tokenizer = get_model_and_tokenizer(
                model_type=str(folder),
                model_name=checkpoint.architecture,
                tokenizer_name=checkpoint.tokenizer_class,
                num_classes=checkpoint.outputs,
                state_dict=dict(checkpoint.weights),
                huggingface_config_path=str(folder),
            )
    except Exception as error:
        raise ModelFileError(f"detoxify cannot build the model in {folder}: {first_line(error)}") from error
    strayed = find_strayed_weight(model, checkpoint)
    if strayed is not None:
        raise ModelFileError(f"detoxify does not take {strayed} from the checkpoint beside {folder / 'config.json'}")
    built = Detoxify.__new__(Detoxify)
    built.model, built.tokenizer, built.device = model, tokenizer, "cpu"
    built.class_names = list(checkpoint.labels)
    return built


def checkpoint_url(name: str) -> str:
    """Return where detoxify publishes the weights of its model ``name``, such as ``unbiased``."""
    from detoxify.detoxify import MODEL_URLS  # noqa: PLC0415

    return str(MODEL_URLS[name])
