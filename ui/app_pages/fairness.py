"""Fairness: are groups of people served alike, and how sure is that?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from custodes_sdk.models import Fairness, FairnessRules, Gap, GapStratum
from ui import session
from ui.charts.gaps import course_chart, course_to_frame, gaps_chart, gaps_to_frame
from ui.components import states
from ui.components.badges import GAP_STATES, show_badge, state_word
from ui.components.gap_story import (
    family_name,
    group_name,
    interval_text,
    outcome_name,
    points_text,
    tell_gap,
)
from ui.components.safe_text import md_escape, show_hidden
from ui.components.tables import facts_table, plain_table, selected_row
from ui.figures import count_text, plural, share_text
from ui.moments import stamp_text

MOST_DRAWN = 15
_TABLE = "gaps_table"
_ANY = "Any"


def render(context: session.Context) -> None:
    """Show every gap, or the one that ``?segment=&family=&group=&outcome=`` names."""
    answer = context.client.fairness()
    chosen = _chosen(answer.rows)
    if chosen is not None:
        _one_gap(context, chosen, answer.rules)
        return
    st.title("Fairness", anchor=False)
    if not answer.rules.enabled:
        st.warning(
            "Outcomes are not compared: CUSTODES\\_FAIRNESS\\_\\_ENABLED is false.", icon=":material/toggle_off:"
        )
    _promise(answer.rules)
    if not answer.rows:
        states.empty(
            "Nothing to compare yet",
            "Groups come from the attribute “group” that callers set, or else from the people that prompts mention.",
            icon=":material/balance:",
        )
        return
    _counts(answer.rows)
    rows = _filtered(answer)
    if not rows:
        states.empty("No gap matches", "Change or clear the filters.", icon=":material/search_off:")
        return
    _chart(rows, answer.rules)
    _table(context, rows)


def _promise(rules: FairnessRules) -> None:
    st.caption(
        f"Each group is compared with everybody else, in the same language and on the same kind of prompt. Gaps up to "
        f"{md_escape(f'{rules.epsilon * 100:g}')} points are tolerated. In a deployment without a larger gap, the "
        f"probability that an alarm is ever raised is at most {md_escape(f'{rules.alpha * 100:g}')}%, however often "
        f"anybody looks."
    )


def _counts(rows: Sequence[Gap]) -> None:
    counts = Counter(row.state for row in rows)
    with st.grid(5, min_column_width=130, gap="small", border=True):
        for state, (word, _, _) in GAP_STATES.items():
            st.metric(word, count_text(counts[state]))


def _filtered(answer: Fairness) -> list[Gap]:
    rows = list(answer.rows)
    with st.grid(min_column_width=180, gap="small"):
        service = _pick("Service", [row.service for row in rows])
        outcome = _pick("Outcome", [row.outcome for row in rows])
        state = _pick("State", [row.state for row in rows])
    return [
        row
        for row in rows
        if service in (None, row.service) and outcome in (None, row.outcome) and state in (None, row.state)
    ]


def _pick(label: str, values: Sequence[str]) -> str | None:
    """Return the value that was picked, ``None`` for any. Names are shown as data."""
    known = sorted(set(values))
    names = {_ANY: None} | {_value_name(label, value): value for value in known}
    picked = st.selectbox(label, list(names), key=f"pick_{label.lower()}")
    return names.get(picked or _ANY)


def _value_name(label: str, value: str) -> str:
    if label == "Outcome":
        return outcome_name(value)
    if label == "State":
        return state_word(GAP_STATES, value)
    return show_hidden(value)[0] or "(no service)"


def _chart(rows: Sequence[Gap], rules: FairnessRules) -> None:
    shown = [row for row in rows if row.recent.gap is not None][:MOST_DRAWN]
    if not shown:
        st.caption("No pair has been compared yet.")
        return
    names = [_gap_name(row) for row in shown]
    frame = gaps_to_frame(shown, names, [state_word(GAP_STATES, row.state) for row in shown])
    st.altair_chart(
        gaps_chart(
            frame,
            epsilon=rules.epsilon,
            description=f"The {len(shown)} strongest gaps with their confidence sequences, in points",
        )
    )
    if len(rows) > len(shown):
        st.caption(f"The {plural(len(shown), 'strongest gap')} of {count_text(len(rows))}; all are in the table.")


def _gap_name(row: Gap) -> str:
    where = row.deployment or row.service
    return show_hidden(f"{group_name(row.group)} · {outcome_name(row.outcome)} · {where}")[0]


def gaps_to_table(rows: Sequence[Gap]) -> pd.DataFrame:
    """Return one row of words per gap."""
    return pd.DataFrame(
        [
            {
                "State": state_word(GAP_STATES, row.state),
                "Group": show_hidden(group_name(row.group))[0],
                "Outcome": outcome_name(row.outcome),
                "Gap (points)": points_text(row.recent.gap),
                "Interval (points)": interval_text(row.recent),
                "Pairs": count_text(row.recent.pairs),
                "Of the group": count_text(row.n_group),
                "Others": count_text(row.n_others),
                "Service": show_hidden(row.service or "(no service)")[0],
                "Deployment": show_hidden(row.deployment or "(none)")[0],
                "Groups are": show_hidden(family_name(row.family))[0],
            }
            for row in rows
        ]
    )


def _table(context: session.Context, rows: Sequence[Gap]) -> None:
    def open_selected() -> None:
        index = selected_row(st.session_state.get(_TABLE), len(rows))
        if index is not None:
            st.switch_page(context.pages["fairness"], query_params=_address(rows[index]))

    st.caption(f"{plural(len(rows), 'gap')}, alarms first. Select a row for its course and its strata.")
    st.dataframe(
        gaps_to_table(rows),
        hide_index=True,
        height="content",
        key=_TABLE,
        on_select=open_selected,
        selection_mode="single-cell",
        alt="Gaps between groups, alarms first",
    )


def _address(row: Gap) -> dict[str, str]:
    return {"segment": str(row.segment_id), "family": row.family, "group": row.group, "outcome": row.outcome}


def _chosen(rows: Sequence[Gap]) -> Gap | None:
    wanted = {name: st.query_params.get(name, "") for name in ("segment", "family", "group", "outcome")}
    return next((row for row in rows if _address(row) == wanted), None)


def _one_gap(context: session.Context, gap: Gap, rules: FairnessRules) -> None:
    st.page_link(context.pages["fairness"], label="All gaps", icon=":material/arrow_back:", query_params={})
    st.title(
        md_escape(f"{outcome_name(gap.outcome)}: {group_name(gap.group)} and everybody else", limit=160), anchor=False
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        show_badge(GAP_STATES, gap.state)
        st.caption(md_escape(f"{gap.service} {gap.deployment}".strip() or "no service", limit=200), width="content")
    st.info(md_escape(tell_gap(gap, rules), limit=1_500), icon=":material/summarize:")
    if gap.alarm is not None and gap.alarm.incident_id:
        st.page_link(
            context.pages["incident"],
            label="Open the incident",
            icon=":material/notification_important:",
            query_params={"id": gap.alarm.incident_id},
        )
    _course(context, gap, rules)
    st.header("Strata", anchor=False)
    st.caption(
        "Pairs are formed only inside a stratum: one language and one kind of prompt. Since the comparison began."
    )
    if gap.strata:
        plain_table([_stratum_row(one) for one in gap.strata], alt="The comparison inside each stratum")
    else:
        st.caption("No exchange has been compared yet.")
    st.header("Facts", anchor=False)
    facts_table(_facts(gap), alt="Facts about the comparison")


def _course(context: session.Context, gap: Gap, rules: FairnessRules) -> None:
    st.header("Course", anchor=False)
    course = context.client.fairness_course(gap)
    if not course.points:
        st.caption("No reading in the last seven days.")
        return
    last = course.points[-1]
    st.altair_chart(
        course_chart(
            course_to_frame(course),
            epsilon=rules.epsilon,
            description=f"The gap and its confidence sequence over seven days; last {points_text(last.gap)} points",
        )
    )
    st.caption(
        f"{plural(len(course.points), 'reading')}; the last, at {md_escape(stamp_text(last.at))}: "
        f"{md_escape(points_text(last.gap))} points. Dashed lines mark the tolerance."
    )


def _stratum_row(one: GapStratum) -> dict[str, str]:
    language, _, topic = one.stratum.partition("/")
    return {
        "Language": language or "unknown",
        "Kind of prompt": "unknown" if topic in ("", "none") else topic,
        "Pairs": count_text(one.pairs),
        "Rate, group": share_text(one.mean_group),
        "Rate, others": share_text(one.mean_others),
        "Gap (points)": points_text(one.gap),
        "Of the group": count_text(one.n_group),
        "Others": count_text(one.n_others),
    }


def _facts(gap: Gap) -> dict[str, str]:
    if gap.metric is None:
        made = "no detector: the call itself says it"
    elif gap.own_gap is None:
        made = f"{gap.metric}; how evenly it treats groups itself has not been audited"
    else:
        made = f"{gap.metric}; by itself it can differ by {points_text(gap.own_gap).lstrip('+')} points"
    return {
        "Groups are": family_name(gap.family),
        "Since the comparison began": f"{points_text(gap.gap)} points in {plural(gap.pairs, 'pair')}",
        "Began": stamp_text(gap.since),
        "Evidence (e-value)": f"{gap.statistic:.3g}",
        "Outcome is made by": made,
        "Left out, in too many strata": count_text(gap.unplaced),
        "Environment": gap.environment or "none",
        "Model": gap.model or "none",
        "Alarm": "none" if gap.alarm is None else f"raised {stamp_text(gap.alarm.at)}",
        "Gap most likely began": "no alarm" if gap.alarm is None else stamp_text(gap.alarm.onset),
    }
