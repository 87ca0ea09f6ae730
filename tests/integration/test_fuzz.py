"""A bounded number of mutated requests through the whole way in; ``make fuzz`` sends a million."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]


class TestFuzz:
    def test_every_mutated_request_is_stored_or_refused_with_an_error_of_ours(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.run", "--cases", "5000", "--seed", "1"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        assert "requests stored" in done.stdout
        assert "spans refused: malformed_span" in done.stdout
