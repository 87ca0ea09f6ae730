"""Every detector of every profile passes every check of ``detectors.checks``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from detectors.checks import DETECTOR_CHECKS, CheckedProfile
from detectors.contract import Detector
from detectors.profile import Profile


@pytest.mark.parametrize("check", DETECTOR_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_every_member_holds(profile: Profile, check: Callable[[Detector, CheckedProfile], None]) -> None:
    for member in profile.members:
        check(member, profile.alone(member))
