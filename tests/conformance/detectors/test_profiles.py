"""Every detector profile passes every check of ``detectors.checks``, ``full`` with models of a few thousand weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from detectors.checks import PROFILE_CHECKS, CheckedProfile
from detectors.profile import Profile


@pytest.mark.parametrize("check", PROFILE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_profile_holds(profile: Profile, check: Callable[[CheckedProfile], None]) -> None:
    check(profile)
