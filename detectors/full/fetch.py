"""Gets a known model's files from where they are published and pins them: the one thing here that uses a network.

Nothing calls this but the command a person types for it. What comes is imported like any folder, so a worker never
knows where a bundle is from, and never needs the network itself.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Final

from detectors.bundles import Bundle, import_bundle
from detectors.errors import DetectorError, ModelFileError
from detectors.full.catalogue import KNOWN_MODELS, KnownModel, find_known

# The publisher's convention: a file name ends in the first eight digits of the file's own SHA-256.
_NAMED_DIGEST: Final = re.compile(r"-([0-9a-f]{8})\.ckpt\Z")


def fetch_bundle(name: str, models_dir: Path) -> Bundle:
    """Download the known model ``name`` and import it into ``models_dir``; an earlier bundle of that name is replaced.

    Of the repository only the files that the catalogue lists are taken: weights, tokenizer, configuration. Raises
    DetectorError for an unknown name, and ModelFileError if the files cannot be had or are not what is promised.
    """
    known = find_known(name)
    if known is None:
        raise DetectorError(f"no known model {name!r}; known are {', '.join(model.name for model in KNOWN_MODELS)}")
    with tempfile.TemporaryDirectory(prefix="custodes-fetch-") as scratch:
        folder = Path(scratch) / known.name
        _download(known, folder)
        return import_bundle(folder, models_dir, known.name)


def _download(known: KnownModel, folder: Path) -> None:
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415
    except ImportError as error:
        raise ModelFileError("fetching needs huggingface-hub: pip install 'custodes[full]'") from error
    try:
        snapshot_download(known.repository, allow_patterns=list(known.files), local_dir=folder)
        if known.checkpoint is not None:
            _download_checkpoint(known.checkpoint, folder)
    except Exception as error:
        # The errors of hub, transport and storage have no root in common.
        raise ModelFileError(
            f"{known.name} cannot be fetched: {type(error).__name__}; is {known.repository} reachable from here?"
        ) from error


def _download_checkpoint(name: str, folder: Path) -> None:
    from torch.hub import download_url_to_file  # noqa: PLC0415

    from detectors.full.detoxify_package import checkpoint_url  # noqa: PLC0415

    url = checkpoint_url(name)
    file_name = url.rsplit("/", 1)[-1]
    promised = _NAMED_DIGEST.search(file_name)
    download_url_to_file(url, str(folder / file_name), None if promised is None else promised[1], progress=False)
