"""Loading a detector profile by name: everything that scores one exchange, loaded once and asked in batches.

``builtin`` works with what pip installs and the heads in this package; nothing is ever downloaded. A profile is
chosen by name and there is no fallback from one to another: a score that quietly came from a weaker detector would be
worthless as evidence.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import torch

from detectors.batching.limits import ReaderLimits
from detectors.batching.reader import TextReader
from detectors.builtin import load_builtin
from detectors.composition import Profile
from detectors.contract import Setup, TextReading, TextRequest
from detectors.devices import CPU, choose_devices, count_cuda, describe_device, parse_devices
from detectors.errors import DetectorError, UnknownProfileError
from detectors.full.options import FullOptions
from detectors.model import (
    CONTEXT_INJECTION,
    HALLUCINATION,
    IDENTITY_ATTACK,
    NEGATIVE_TONE,
    PII,
    PROMPT_INJECTION,
    PROMPT_PII,
    PROMPT_SECRETS,
    PROMPT_TOXICITY,
    REFUSAL,
    SECRETS,
    TOXICITY,
)
from detectors.plugins import load_plugins
from detectors.progress import JUDGING, READING, Progress
from detectors.text.encoder import MODEL_FOLDER, Precision, fastest_precision, load_encoder
from detectors.text.reading import MiniLmModel, PreparedText, WindowReading

_LOG = logging.getLogger(__name__)

__all__ = ["METRICS", "PROFILES", "Profile", "load_profile"]

PROFILES: Final = ("builtin", "full")
METRICS: Final = (
    HALLUCINATION,
    TOXICITY,
    PROMPT_TOXICITY,
    IDENTITY_ATTACK,
    REFUSAL,
    NEGATIVE_TONE,
    PII,
    PROMPT_PII,
    SECRETS,
    PROMPT_SECRETS,
    PROMPT_INJECTION,
    CONTEXT_INJECTION,
)

CPU_BATCH_TOKENS: Final = 1024
ACCELERATOR_BATCH_TOKENS: Final = 65_536
# While one lane waits for its results, the other keeps an accelerator busy.
ACCELERATOR_LANES: Final = 2
# 128 windows are about 28,000 tokens, some ten seconds of work on two cores in float32.
MAX_WINDOWS: Final = 128
# A reading takes about 1.5 kB.
CACHE_BYTES: Final = 16 << 20


def load_profile(
    name: str,
    *,
    models_dir: Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    precision: Precision | None = None,
    offline: bool = True,
    without: Collection[str] = (),
    full: FullOptions | None = None,
    plugins: Sequence[str] = (),
) -> Profile:
    """Load a profile by name on one device, from local files only, with the named plug-ins behind its own members.

    ``models_dir`` holds the encoder's files; None means the installed distribution. ``threads`` is how many batches run
    side by side on the CPU, each on one core; None means as many as torch would use. ``precision`` None takes bfloat16
    where the processor has it, else float32; the detectors' digests tell them apart. ``without`` names rule
    detectors to leave out (``detectors.rules.members``). ``full`` says which bundles in ``models_dir`` the full profile
    takes; None means its defaults. Raises UnknownProfileError, MissingBundleError, ModelFileError, or DetectorError
    for a device that isn't there and for plug-ins that cannot be loaded.
    """
    if name not in PROFILES:
        raise UnknownProfileError(
            f"no detector profile {name!r} here; available: {', '.join(PROFILES)}. "
            "Another profile is never used in its place"
        )
    if threads is not None and threads < 1:
        raise DetectorError(f"threads must be at least 1, got {threads}")
    listed = parse_devices(device)
    if listed is None or len(listed) != 1:
        raise DetectorError(f"a profile runs on one device, not on {device!r}; see detectors.devices.find_devices")
    cuda_devices = count_cuda()
    choose_devices(device, cuda_devices)
    if device == CPU and cuda_devices:
        _LOG.warning("the device cpu is chosen although there are others", extra={"cuda_devices": cuda_devices})
    chosen = fastest_precision(device) if precision is None else precision
    encoder_dir = models_dir if name == "builtin" else _encoder_dir(models_dir)
    progress = Progress()
    setup = Setup(
        models_dir,
        device,
        offline,
        load_encoder(encoder_dir, device=device, precision=chosen),
        reader_limits(device, threads),
        lambda: progress.beat(JUDGING),
    )
    members = load_builtin(setup, without=without)
    if name == "full":
        # Here and not above: a worker with the builtin profile must not pay for transformers.
        from detectors.full.profile import load_full  # noqa: PLC0415

        members = load_full(setup, members, full or FullOptions())
    members = [*members, *load_plugins(plugins, setup)]
    heads = [member.head for member in members if member.head is not None]
    reader: TextReader[TextRequest, PreparedText, WindowReading, TextReading] = TextReader(
        MiniLmModel(setup.encoder, heads), setup.limits, alive=lambda: progress.beat(READING)
    )
    return Profile(name, members, reader, progress, device=f"{describe_device(device)}, {chosen}")


def _encoder_dir(models_dir: Path | None) -> Path | None:
    """Return where the full profile takes the packaged encoder from: a folder beside the bundles, if there is one.

    Either place must hold the very same bytes, so neither stands in for the other.
    """
    return models_dir if models_dir is not None and (models_dir / MODEL_FOLDER).is_dir() else None


def reader_limits(device: str, threads: int | None) -> ReaderLimits:
    """Return how a text model should be run on ``device``.

    On the CPU each batch runs on one core, several batches side by side. One batch on several cores is slower: the
    cores wait for each other after every layer, and with other work on the machine they wait long.
    """
    if device.startswith("cpu"):
        lanes = torch.get_num_threads() if threads is None else threads
        return ReaderLimits(CPU_BATCH_TOKENS, MAX_WINDOWS, CACHE_BYTES, lanes, _compute_alone)
    return ReaderLimits(ACCELERATOR_BATCH_TOKENS, MAX_WINDOWS, CACHE_BYTES, ACCELERATOR_LANES)


def _compute_alone() -> None:
    """Have torch use the calling thread only. Threads that start computing later inherit this; older ones don't."""
    torch.set_num_threads(1)
