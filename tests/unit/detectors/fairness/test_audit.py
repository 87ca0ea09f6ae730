from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detectors.fairness.audit import SelfAudit, load_self_audits, withholds


def audited(false_alarms: Any, misses: Any) -> dict[str, Any]:
    spread = {"false_alarms_at_half": {"spread": false_alarms}, "misses_at_half": {"spread": misses}}
    return {"identity_audit": {"template": "t", "words": 9, "toxicity": {"spread": spread, "by_identity": {}}}}


class TestOwnGap:
    def test_false_alarms_count_where_the_outcome_is_rare_and_misses_where_it_is_common(self) -> None:
        audit = SelfAudit(false_alarms=0.04, misses=0.3)
        assert audit.own_gap(0.0) == 0.04
        assert audit.own_gap(1.0) == pytest.approx(0.3)
        assert audit.own_gap(0.1) == pytest.approx(0.9 * 0.04 + 0.1 * 0.3)

    def test_a_gap_within_it_is_withheld_in_both_directions(self) -> None:
        audit = SelfAudit(false_alarms=0.05, misses=0.05)
        assert withholds(audit, 0.04, 0.1)
        assert withholds(audit, -0.04, 0.1)
        assert not withholds(audit, 0.06, 0.1)

    def test_an_outcome_that_no_head_makes_is_never_withheld(self) -> None:
        assert not withholds(None, 0.001, 0.5)


class TestLoadSelfAudits:
    def test_it_reads_the_heads_that_were_audited(self, tmp_path: Path) -> None:
        (tmp_path / "toxicity.json").write_text(json.dumps(audited(0.02, 0.1)))
        (tmp_path / "other.json").write_text(json.dumps({"version": 1}))
        assert load_self_audits(tmp_path) == {"toxicity": SelfAudit(0.02, 0.1)}

    @pytest.mark.parametrize("written", [audited("x", 0.1), audited(1.5, 0.1), audited(float("nan"), 0.1)])
    def test_it_refuses_an_audit_it_cannot_read(self, tmp_path: Path, written: dict[str, Any]) -> None:
        (tmp_path / "toxicity.json").write_text(json.dumps(written))
        with pytest.raises(ValueError, match=r"toxicity\.json: the audit of toxicity"):
            load_self_audits(tmp_path)

    def test_an_audit_without_error_rates_is_refused(self, tmp_path: Path) -> None:
        written = audited(0.1, 0.1)
        del written["identity_audit"]["toxicity"]["spread"]["misses_at_half"]
        (tmp_path / "toxicity.json").write_text(json.dumps(written))
        with pytest.raises(ValueError, match="lacks its error rates"):
            load_self_audits(tmp_path)

    def test_the_heads_of_this_package_can_be_read(self) -> None:
        for audit in load_self_audits().values():
            assert 0.0 <= audit.own_gap(0.5) <= 1.0
