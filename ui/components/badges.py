"""States as icon, word and colour together; never colour alone."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from ui.components.safe_text import md_escape
from ui.figures import state_text

Colour = Literal["red", "orange", "yellow", "blue", "green", "gray"]

SERVICE_STATES: dict[str, tuple[str, str, Colour]] = {
    "ok": ("Within limits", ":material/check_circle:", "green"),
    "pending": ("Pending", ":material/hourglass_top:", "yellow"),
    "firing": ("Outside limits", ":material/error:", "red"),
    "no_data": ("No data", ":material/do_not_disturb_on:", "gray"),
    "error": ("Policy error", ":material/report:", "orange"),
}
SEVERITIES: dict[str, tuple[str, str, Colour]] = {
    "critical": ("Critical", ":material/crisis_alert:", "red"),
    "high": ("High", ":material/error:", "orange"),
    "medium": ("Medium", ":material/warning:", "yellow"),
    "low": ("Low", ":material/info:", "blue"),
}
INCIDENT_STATES: dict[str, tuple[str, str, Colour]] = {
    "new": ("Open", ":material/notifications_active:", "red"),
    "open": ("Open", ":material/notifications_active:", "red"),
    "acknowledged": ("Acknowledged", ":material/visibility:", "yellow"),
    "escalating": ("Escalating", ":material/priority_high:", "red"),
    "muted": ("Muted", ":material/notifications_paused:", "blue"),
    "regressed": ("Came back", ":material/replay:", "red"),
    "resolved": ("Resolved", ":material/check_circle:", "green"),
}
POLICY_STATES: dict[str, tuple[str, str, Colour]] = {
    "draft": ("Draft", ":material/edit_note:", "gray"),
    "shadow": ("In shadow", ":material/visibility:", "blue"),
    "approved": ("Approved", ":material/how_to_reg:", "blue"),
    "active": ("Active", ":material/check_circle:", "green"),
    "retired": ("Retired", ":material/inventory_2:", "gray"),
    "rejected": ("Rejected", ":material/close:", "orange"),
    "break_glass": ("Active without review", ":material/emergency:", "red"),
}
SILENCE_STATES: dict[str, tuple[str, str, Colour]] = {
    "pending": ("Not begun", ":material/schedule:", "gray"),
    "active": ("In force", ":material/notifications_off:", "blue"),
    "needs_approval": ("Half in force", ":material/how_to_reg:", "yellow"),
    "ended": ("Over", ":material/notifications:", "gray"),
}
ACTION_STATES: dict[str, tuple[str, str, Colour]] = {
    "shadowed": ("In shadow", ":material/visibility:", "gray"),
    "proposed": ("Waits for approval", ":material/front_hand:", "yellow"),
    "approved": ("Approved", ":material/how_to_reg:", "blue"),
    "snapshot": ("Evidence taken", ":material/photo_camera:", "blue"),
    "sent": ("Sent", ":material/outbox:", "blue"),
    "acknowledged": ("Done, not verified yet", ":material/task_alt:", "blue"),
    "verifying": ("Being verified", ":material/hourglass_top:", "blue"),
    "helped": ("Helped", ":material/check_circle:", "green"),
    "not_helped": ("Did not help", ":material/error:", "red"),
    "inconclusive": ("Nobody can tell", ":material/help:", "orange"),
    "refused": ("Refused", ":material/block:", "gray"),
    "cancelled": ("Called off", ":material/close:", "gray"),
    "failed": ("Failed", ":material/report:", "red"),
}
ENDPOINT_STATES: dict[str, tuple[str, str, Colour]] = {
    "active": ("Active", ":material/check_circle:", "green"),
    "resting": ("Resting", ":material/bedtime:", "orange"),
    "trying": ("Being tried", ":material/hourglass_top:", "yellow"),
    "disabled": ("Disabled", ":material/block:", "gray"),
}
LABELS: dict[str, tuple[str, str, Colour]] = {
    "true_alarm": ("True alarm", ":material/thumb_up:", "green"),
    "false_alarm": ("False alarm", ":material/thumb_down:", "orange"),
}
SCORE_STATES: dict[str, tuple[str, str, Colour]] = {
    "assessed": ("Assessed", ":material/task_alt:", "green"),
    "partial": ("Partly assessed", ":material/rule:", "yellow"),
    "not_assessed": ("Not assessed", ":material/do_not_disturb_on:", "gray"),
    "pending": ("Waiting for scores", ":material/hourglass_top:", "blue"),
}
GAP_STATES: dict[str, tuple[str, str, Colour]] = {
    "gap": ("Gap", ":material/balance:", "red"),
    "withheld": ("Withheld", ":material/front_hand:", "orange"),
    "watching": ("Watching", ":material/visibility:", "blue"),
    "within_tolerance": ("Within tolerance", ":material/check_circle:", "green"),
    "too_few_data": ("Too few data", ":material/hourglass_top:", "gray"),
}
DRIFT_STATES: dict[str, tuple[str, str, Colour]] = {
    "drift": ("Drift", ":material/trending_up:", "red"),
    "damaged": ("Damaged", ":material/report:", "orange"),
    "watching": ("Watching", ":material/visibility:", "blue"),
    "learning": ("Learning", ":material/hourglass_top:", "gray"),
}
REFERENCE_STATES: dict[str, tuple[str, str, Colour]] = {
    "proposed": ("Waits for approval", ":material/how_to_reg:", "yellow"),
    "active": ("In force", ":material/check_circle:", "green"),
    "superseded": ("Replaced", ":material/inventory_2:", "gray"),
    "rejected": ("Turned down", ":material/close:", "orange"),
}
DELIVERY_STATES: dict[str, tuple[str, str, Colour]] = {
    "delivered": ("Delivered", ":material/check_circle:", "green"),
    "pending": ("Waiting", ":material/hourglass_top:", "blue"),
    "dead": ("Given up", ":material/error:", "red"),
}

OUTCOMES = {"delivered": "delivered", "retrylater": "will be tried again", "rejected": "rejected", "gone": "gone (410)"}


def show_badge(vocabulary: dict[str, tuple[str, str, Colour]], state: str) -> None:
    """Show ``state`` as a badge; a state the console does not know is shown by its own name."""
    word, icon, colour = vocabulary.get(state, (md_escape(state_text(state) or "unknown"), ":material/help:", "gray"))
    st.badge(word, icon=icon, color=colour)


def state_word(vocabulary: dict[str, tuple[str, str, Colour]], state: str) -> str:
    """Return the word for ``state``, for use in tables."""
    return vocabulary[state][0] if state in vocabulary else state_text(state) or "unknown"
