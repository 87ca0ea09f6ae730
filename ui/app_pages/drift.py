"""Drift: is traffic still what it was, and if not, since when and how?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from custodes_sdk.models import Drift, DriftCluster, DriftEpisode, DriftExplanation, DriftMonitor, DriftRules
from ui import session
from ui.charts.drift import (
    course_chart,
    course_to_frame,
    map_chart,
    map_to_frame,
    monitors_chart,
    monitors_to_frame,
)
from ui.components import states
from ui.components.badges import DRIFT_STATES, show_badge, state_word
from ui.components.decide import say_what_was_done
from ui.components.drift_actions import expect_change, reports
from ui.components.drift_story import (
    EMBEDDED,
    monitor_name,
    place_name,
    source_text,
    statistic_text,
    tell_change,
    tell_monitor,
)
from ui.components.safe_text import md_escape, show_hidden
from ui.components.tables import facts_table, plain_table, selected_row
from ui.figures import count_text, plural, share_text
from ui.moments import stamp_text

MOST_DRAWN = 15
MOST_EXAMPLES = 5
MOST_EPISODES = 10
_TABLE = "drift_table"
_ANY = "Any"


def render(context: session.Context) -> None:
    """Show every monitor, or the one that ``?monitor=`` or ``?episode=`` names."""
    answer = context.client.drift()
    episode = _asked_episode(context)
    chosen = _chosen(answer.rows, episode)
    if chosen is not None:
        _one_monitor(context, chosen, episode, answer.rules)
        return
    st.title("Drift", anchor=False)
    if not answer.rules.enabled:
        st.warning("Nothing is watched: CUSTODES\\_DRIFT\\_\\_ENABLED is false.", icon=":material/toggle_off:")
    st.caption(
        "Every deployment is compared with its own reference, prompts and responses apart. Where nothing has changed, "
        f"one false alarm of a deployment is expected in {count_text(answer.rules.exchanges_per_false_alarm)} "
        "exchanges, all its monitors together, however often anybody looks."
    )
    if not answer.rows:
        states.empty(
            "Nothing is watched yet", "Monitors begin with the first scored exchange.", icon=":material/trending_flat:"
        )
        return
    _counts(answer.rows)
    rows = _filtered(answer)
    if not rows:
        states.empty("No monitor matches", "Change or clear the filters.", icon=":material/search_off:")
        return
    _chart(rows)
    _table(context, rows)


def _asked_episode(context: session.Context) -> DriftEpisode | None:
    wanted = st.query_params.get("episode", "")
    return context.client.drift_episode(wanted) if wanted else None


def _chosen(rows: Sequence[DriftMonitor], episode: DriftEpisode | None) -> DriftMonitor | None:
    wanted = str(episode.monitor_id) if episode is not None else st.query_params.get("monitor", "")
    return next((row for row in rows if str(row.monitor_id) == wanted), None)


def _counts(rows: Sequence[DriftMonitor]) -> None:
    counts = Counter(row.state for row in rows)
    with st.grid(4, min_column_width=130, gap="small", border=True):
        for state, (word, _, _) in DRIFT_STATES.items():
            st.metric(word, count_text(counts[state]))


def _filtered(answer: Drift) -> list[DriftMonitor]:
    rows = list(answer.rows)
    with st.grid(min_column_width=180, gap="small"):
        service = _pick("Service", [row.service for row in rows])
        monitor = _pick("Monitor", [row.monitor for row in rows])
        state = _pick("State", [row.state for row in rows])
    return [
        row
        for row in rows
        if service in (None, row.service) and monitor in (None, row.monitor) and state in (None, row.state)
    ]


def _pick(label: str, values: Sequence[str]) -> str | None:
    """Return the value that was picked, ``None`` for any. Names are shown as data."""
    names = {_ANY: None} | {_value_name(label, value): value for value in sorted(set(values))}
    picked = st.selectbox(label, list(names), key=f"drift_{label.lower()}")
    return names.get(picked or _ANY)


def _value_name(label: str, value: str) -> str:
    if label == "Monitor":
        return monitor_name(value)
    if label == "State":
        return state_word(DRIFT_STATES, value)
    return show_hidden(value)[0] or "(no service)"


def _chart(rows: Sequence[DriftMonitor]) -> None:
    shown = [row for row in rows if row.state in ("drift", "watching") and row.current][:MOST_DRAWN]
    if not shown:
        st.caption("No monitor watches yet: they are learning what is usual.")
        return
    names = [_monitor_label(row) for row in shown]
    frame = monitors_to_frame(shown, names, [state_word(DRIFT_STATES, row.state) for row in shown])
    st.altair_chart(
        monitors_chart(frame, description=f"How near the first {len(shown)} monitors are to their alarm line")
    )


def _monitor_label(row: DriftMonitor) -> str:
    return show_hidden(f"{monitor_name(row.monitor)} · {row.deployment or row.service}")[0]


def monitors_to_table(rows: Sequence[DriftMonitor]) -> pd.DataFrame:
    """Return one row of words per monitor."""
    return pd.DataFrame(
        [
            {
                "State": state_word(DRIFT_STATES, row.state),
                "Watches": monitor_name(row.monitor),
                "Service": show_hidden(row.service or "(no service)")[0],
                "Deployment": show_hidden(row.deployment or "(none)")[0],
                "Statistic": statistic_text(row.statistic),
                "Alarm line": statistic_text(row.threshold),
                "Reference": f"version {row.reference.version}",
                "Watched": count_text(row.seen),
                "Most likely since": "no drift" if row.episode is None else stamp_text(row.episode.onset),
            }
            for row in rows
        ]
    )


def _table(context: session.Context, rows: Sequence[DriftMonitor]) -> None:
    def open_selected() -> None:
        index = selected_row(st.session_state.get(_TABLE), len(rows))
        if index is not None:
            st.switch_page(context.pages["drift"], query_params={"monitor": str(rows[index].monitor_id)})

    st.caption(f"{plural(len(rows), 'monitor')}, drift first. Select a row for its course and what changed.")
    st.dataframe(
        monitors_to_table(rows),
        hide_index=True,
        height="content",
        key=_TABLE,
        on_select=open_selected,
        selection_mode="single-cell",
        alt="Drift monitors, what drifts first",
    )


def _one_monitor(context: session.Context, one: DriftMonitor, episode: DriftEpisode | None, rules: DriftRules) -> None:
    st.page_link(context.pages["drift"], label="All monitors", icon=":material/arrow_back:", query_params={})
    where = place_name(one.service, one.deployment)
    st.title(md_escape(f"Drift: {monitor_name(one.monitor).lower()} of {where}", limit=160), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        show_badge(DRIFT_STATES, one.state)
        if not one.current:
            st.badge("Replaced by another encoder or detector", icon=":material/history:", color="gray")
    say_what_was_done()
    st.info(md_escape(tell_monitor(one, rules), limit=1_000), icon=":material/summarize:")
    if episode is None and one.episode is not None:
        episode = context.client.drift_episode(one.episode.id)
    if episode is not None:
        _change(context, episode)
    _course(context, one)
    expect_change(context, one)
    _episodes(context, one)
    st.header("Facts", anchor=False)
    facts_table(_facts(one), alt="Facts about the monitor")


def _change(context: session.Context, episode: DriftEpisode) -> None:
    st.header("What changed", anchor=False)
    st.caption(md_escape(tell_change(episode), limit=1_000))
    if episode.incident_id:
        st.page_link(
            context.pages["incident"],
            label="Open the incident",
            icon=":material/notification_important:",
            query_params={"id": episode.incident_id},
        )
    found = episode.explanation
    if found is not None:
        _picture(found)
        _clusters(context, found.clusters)
        _examples(context, found.examples)
    if episode.monitor in EMBEDDED:
        reports(context, episode)


def _picture(found: DriftExplanation) -> None:
    if found.map is None or not found.map.current:
        return
    counted = f"{len(found.map.current)} exchanges since the change among {len(found.map.reference)} usual ones"
    st.altair_chart(map_chart(map_to_frame(found.map), description=counted))
    st.caption("Each point is an exchange, placed by the two directions along which the reference varies most.")


def _clusters(context: session.Context, clusters: Sequence[DriftCluster]) -> None:
    if not clusters:
        return
    st.subheader("Kinds of traffic that grew or shrank", anchor=False)
    plain_table(
        [
            {
                "Kind": f"No. {one.cell}",
                "Share before": share_text(one.before),
                "Share since": share_text(one.since),
                "Change": "grew" if one.since > one.before else "shrank",
            }
            for one in clusters
        ],
        alt="Kinds of traffic whose share changed beyond chance",
    )
    for one in clusters:
        if one.examples:
            _links(context, one.examples, f"Kind no. {one.cell}")


def _examples(context: session.Context, examples: Sequence[str]) -> None:
    if examples:
        st.subheader("Exchanges that show it best", anchor=False)
        _links(context, examples[:MOST_EXAMPLES], "Exchange")


def _links(context: session.Context, exchange_ids: Sequence[str], label: str) -> None:
    """Lead to traces: their texts are shown there, or revealed against a reason."""
    with st.container(horizontal=True):
        for number, exchange_id in enumerate(exchange_ids, start=1):
            st.page_link(
                context.pages["trace"],
                label=md_escape(f"{label}, example {number}: {exchange_id[:8]}"),
                icon=":material/account_tree:",
                query_params={"id": exchange_id[:32]},
            )


def _course(context: session.Context, one: DriftMonitor) -> None:
    st.header("Course", anchor=False)
    course = context.client.drift_course(one.monitor_id)
    if not course.points:
        st.caption("Nothing was watched in the last seven days.")
        return
    last = course.points[-1]
    st.altair_chart(
        course_chart(
            course_to_frame(course),
            description=f"The statistic over seven days against its alarm line; last {statistic_text(last.statistic)}",
        )
    )
    st.caption(
        f"{plural(len(course.points), 'minute')} with traffic; the last, at {md_escape(stamp_text(last.at))}: "
        f"{statistic_text(last.statistic)}. The dashed line is where an alarm is raised; after one, it begins anew."
    )


def _episodes(context: session.Context, one: DriftMonitor) -> None:
    found = [
        row
        for row in context.client.drift_episodes(service=one.service or None, monitor=one.monitor).rows
        if row.monitor_id == one.monitor_id
    ][:MOST_EPISODES]
    st.header("Stretches of drift", anchor=False)
    if not found:
        st.caption("None has been found.")
        return
    plain_table([_episode_row(row) for row in found], alt="Stretches of drift of this monitor, newest first")
    for row in found:
        if row.ended_at is not None:
            st.page_link(
                context.pages["drift"],
                label=md_escape(f"What changed at {stamp_text(row.at)}"),
                icon=":material/history:",
                query_params={"episode": row.id},
            )


def _episode_row(row: DriftEpisode) -> dict[str, str]:
    endings = {"over": "not found any more", "expected": "accepted as expected", None: "stands"}
    return {
        "Found (UTC)": stamp_text(row.at),
        "Most likely since": stamp_text(row.onset),
        "Found again": count_text(row.repeats),
        "Reference": f"version {row.reference_version}",
        "How it ended": endings.get(row.ended_as, row.ended_as or "stands"),
    }


def _facts(one: DriftMonitor) -> dict[str, str]:
    return {
        "Compared with": f"version {one.reference.version}, {source_text(one.reference.source)}",
        "Values in the reference": count_text(one.learned),
        "Exchanges taken in": count_text(one.seen),
        "Statistic": statistic_text(one.statistic),
        "Alarm line": statistic_text(one.threshold),
        "Made by": one.maker or "no detector: the call itself says it",
        "Environment": one.environment or "none",
        "Began": stamp_text(one.began_at),
        "Last exchange taken in": stamp_text(one.updated_at),
    }
