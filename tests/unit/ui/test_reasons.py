"""Every reason the server can give for "not assessed" has words for people."""

from __future__ import annotations

from custodes.runtime.scoring import SCORING_FAILED
from detectors import model
from ui.figures import REASONS


class TestReasons:
    def test_they_cover_what_detectors_collector_and_worker_say(self) -> None:
        metrics = {
            model.HALLUCINATION,
            model.TOXICITY,
            model.PROMPT_TOXICITY,
            model.IDENTITY_ATTACK,
            *model.RULE_METRICS,
            model.INCONSISTENCY,
        }
        constants = {value for name, value in vars(model).items() if name.isupper() and isinstance(value, str)}
        wanted = (constants - metrics) | {SCORING_FAILED, "attributes_dropped", "content_unreadable"}
        assert set(REASONS) == {reason for reason in wanted if not reason.startswith("_")}
