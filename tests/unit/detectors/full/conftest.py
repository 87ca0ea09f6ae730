"""Tiny models of every kind, imported as bundles once for all tests; they take a second each and never change."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import torch

from detectors.batching.limits import ReaderLimits
from detectors.bundles import Bundle, import_bundle, read_bundle
from detectors.full.catalogue import DescribedBundle, open_bundles
from detectors.full.loading import LoadedModel, load_classifier
from tests import tiny_models

GROUNDING = "lettucedect-base-modernbert-en-v1"
CLAIMS = "minicheck-roberta-large"
DEBERTA = "minicheck-deberta-v3-large"
ENCODER = "tiny-encoder"
LIMITS = ReaderLimits(batch_tokens=1024, windows=8, cache_bytes=1 << 20)
KINDS = ("original", "unbiased", "multilingual")


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that were imported, each under its bundle's name."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("sources")
    for kind in KINDS:
        tiny_models.write_detoxify(folder / f"detoxify-{kind}", kind)
    tiny_models.write_grounding(folder / GROUNDING)
    tiny_models.write_claim_checker(folder / CLAIMS)
    tiny_models.write_claim_checker(folder / DEBERTA, "deberta")
    tiny_models.write_encoder(folder / ENCODER)
    (folder / ENCODER / "custodes.json").write_text(json.dumps({"role": "encoder"}))
    return folder


@pytest.fixture(scope="session")
def models_dir(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory with a bundle of every kind."""
    target = tmp_path_factory.mktemp("models")
    for folder in sorted(sources.iterdir()):
        import_bundle(folder, target)
    return target


@pytest.fixture(scope="session")
def grounding(models_dir: Path) -> LoadedModel:
    return load_classifier(read_bundle(models_dir, GROUNDING), "token", device="cpu", precision="float32")


@pytest.fixture(scope="session")
def roberta(models_dir: Path) -> LoadedModel:
    return load_classifier(read_bundle(models_dir, CLAIMS), "sequence", device="cpu", precision="float32")


@pytest.fixture(scope="session")
def deberta(models_dir: Path) -> LoadedModel:
    return load_classifier(read_bundle(models_dir, DEBERTA), "sequence", device="cpu", precision="float32")


@pytest.fixture(scope="session")
def encoder_bundle(models_dir: Path) -> Bundle:
    return read_bundle(models_dir, ENCODER)


@pytest.fixture(params=KINDS)
def detoxify_bundle(request: pytest.FixtureRequest, models_dir: Path) -> DescribedBundle:
    """The bundle of each of detoxify's three models in turn."""
    return open_bundles(models_dir, {"toxicity": f"detoxify-{request.param}"})["toxicity"]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make any attempt to look up a name or open a connection fail the test."""

    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(f"a connection was attempted: {arguments[1:]}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "create_connection", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
