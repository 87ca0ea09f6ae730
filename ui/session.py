"""Who is signed in, and the client that acts for them. The only place that knows the session's keys."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st

from custodes_sdk import Client
from custodes_sdk.models import Me
from ui.launch import api_url_from

_CLIENT = "session_client"
_ME = "session_me"
_EXPIRED = "session_expired"


@dataclass(frozen=True, slots=True)
class Context:
    """What a page needs: the signed-in person's client, who they are, the pages to link to by path, and the time."""

    client: Client
    me: Me
    pages: Mapping[str, st.Page]
    now: datetime


def clock() -> datetime:
    """Return the time of the console's machine, in UTC."""
    return datetime.now(UTC)


def api_url() -> str:
    """Return the address of the API this console process was started for."""
    return api_url_from(sys.argv)


def open_client(api_key: str | None) -> Client:
    """Return a client for the API, acting with ``api_key``."""
    return Client(api_url(), api_key)


def current_client() -> Client:
    """Return this browser session's client, keyless until someone signs in."""
    if _CLIENT not in st.session_state:
        st.session_state[_CLIENT] = open_client(None)
    client: Client = st.session_state[_CLIENT]
    return client


def current_me() -> Me:
    """Return who the server takes this session for; asks once per session. Raises ``Unauthorized``."""
    if _ME not in st.session_state:
        st.session_state[_ME] = current_client().me()
    me: Me = st.session_state[_ME]
    return me


def sign_in(api_key: str) -> None:
    """Act with ``api_key`` from now on. Raises ``Unauthorized`` and changes nothing when it is not accepted."""
    client = open_client(api_key)
    me = client.me()
    st.session_state[_CLIENT] = client
    st.session_state[_ME] = me
    st.session_state.pop(_EXPIRED, None)


def sign_out(*, expired: bool = False) -> None:
    """Forget the key. ``expired`` makes the sign-in page say that the session ended by itself."""
    was_signed_in = st.session_state.pop(_ME, None) is not None
    client: Client | None = st.session_state.pop(_CLIENT, None)
    if client is not None:
        client.close()
    if expired and was_signed_in:
        st.session_state[_EXPIRED] = True


def has_expired() -> bool:
    """Return whether the last session ended because the server no longer accepted its key."""
    return bool(st.session_state.get(_EXPIRED))
