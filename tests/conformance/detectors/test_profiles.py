"""Every detector profile passes every check of ``detectors.checks``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from detectors.checks import PROFILE_CHECKS, CheckedProfile
from detectors.profile import PROFILES, Profile, load_profile


@pytest.fixture(scope="module", params=PROFILES)
def profile(request: pytest.FixtureRequest) -> Profile:
    return load_profile(request.param)


@pytest.mark.parametrize("check", PROFILE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_profile_holds(profile: Profile, check: Callable[[CheckedProfile], None]) -> None:
    check(profile)
