"""A form for a new endpoint of any kind, and its signing secret, shown once."""

from __future__ import annotations

import streamlit as st

from custodes_sdk.models import Endpoint, EndpointKind, EndpointSetting
from ui import session
from ui.components.decide import attempt
from ui.components.safe_text import md_escape, safe_text

_SECRET = "endpoint_secret_shown_once"


def show_new_secret() -> None:
    """Show the signing secret of the endpoint that was just made, once."""
    secret: str | None = st.session_state.pop(_SECRET, None)
    if secret is not None:
        st.warning("Receivers check signatures with this. It is not shown again.", icon=":material/key:")
        safe_text(secret)


def rotate_button(context: session.Context, one: Endpoint, number: int) -> None:
    """Show a button that gives an endpoint a new signing key, which the next run shows once."""

    def rotate() -> None:
        made = context.client.rotate_endpoint(one.id)
        if made.secret is not None:
            st.session_state[_SECRET] = made.secret

    with st.popover("Rotate the signing key", icon=":material/key:"):
        st.caption("Messages carry the signatures of both keys for 24 hours, so receivers can change over.")
        if st.button("Make a new key", key=f"rotate_{number}"):
            attempt(rotate, "The endpoint has a new signing key.")


def endpoint_form(context: session.Context) -> None:
    """Show fields for a name and what the chosen kind takes, and create the endpoint when they are sent."""
    st.header("Add an endpoint", anchor=False)
    kinds = {one.kind: one for one in context.client.endpoint_kinds().rows}
    if not kinds:
        return
    chosen = st.selectbox("Kind", list(kinds), key="endpoint_kind", format_func=lambda kind: kinds[kind].title)
    kind = kinds[chosen]
    with st.form(f"new_endpoint_{kind.kind}", border=True, clear_on_submit=True):
        name = st.text_input("Name that policies use", key=f"name_{kind.kind}", max_chars=64, placeholder="oncall")
        url = _address(kind)
        given = {one.name: _field(kind, one) for one in kind.settings}
        sent = st.form_submit_button("Add", icon=":material/add:", type="primary")
    if sent:
        _create(context, kind, (name or "").strip(), url, given)


def _create(context: session.Context, kind: EndpointKind, name: str, url: str, given: dict[str, str]) -> None:
    filled = {one.name: given[one.name] for one in kind.settings if given[one.name]}
    secrets = {one.name for one in kind.settings if one.secret}

    def create() -> None:
        made: Endpoint = context.client.create_endpoint(
            name,
            url or None,
            kind=kind.kind,
            options={key: value for key, value in filled.items() if key not in secrets},
            secrets={key: value for key, value in filled.items() if key in secrets},
        )
        if made.secret is not None:
            st.session_state[_SECRET] = made.secret

    attempt(create, "The endpoint is there; name it in a policy.")


def _address(kind: EndpointKind) -> str:
    of_mail = "Address of the mail server, smtps or smtp" if kind.address == "mail" else "Address"
    text = st.text_input(
        of_mail if kind.default_url is None else "Address, unless it is the usual one",
        key=f"url_{kind.kind}",
        max_chars=2048,
        type="password" if kind.address == "secret" else "default",
    )
    return (text or "").strip()


def _field(kind: EndpointKind, setting: EndpointSetting) -> str:
    need = ", needed" if setting.required else ""
    text = st.text_input(
        md_escape(f"{setting.name}{need}: {setting.description}", limit=200),
        key=f"{kind.kind}_{setting.name}",
        max_chars=1024,
        type="password" if setting.secret else "default",
    )
    return (text or "").strip()
