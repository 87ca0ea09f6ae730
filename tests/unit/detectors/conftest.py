"""What the detector tests share: the loaded encoder and profile, which take a second each and never change."""

from __future__ import annotations

import pytest

from detectors.profile import Profile, load_profile
from detectors.text.encoder import Encoder, load_encoder


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return load_encoder(precision="float32")


@pytest.fixture(scope="session")
def builtin() -> Profile:
    return load_profile("builtin")
