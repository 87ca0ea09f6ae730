"""``custodes policy``: lint, test, back-test, compare, submit, review and activate policies.

Without ``--server`` these commands act on the database directly, as the user of the operating system: whoever may open
the database may do what its roles would forbid, so grant that to few. The REST API names people by their keys.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from collector.rest.parameters import parse_time
from custodes.cli.backtest_output import print_report, progress_bar
from custodes.cli.database import open_configured
from custodes.cli.keys import local_actor
from custodes.cli.remote import PolicyServer, backtest_there, pick_version
from custodes.cli.repository import find_origin, policy_files
from custodes.db import Database
from custodes.kernel.clock import ns_to_rfc3339, system_clock
from custodes.kernel.settings import load_settings
from policies.actors import Actor
from policies.approval_store import Verdict
from policies.backtest_report import report_backtest
from policies.check import lint_file, require_tested, test_file
from policies.conduct import Review, conduct_of, review_of
from policies.diff import diff_documents
from policies.evaluate import compile_version
from policies.lifecycle import activate_policy, attach_backtest, judge_policy, list_policies, submit_policy
from policies.rules.compile import CompiledPolicy
from policies.rules.finding import Finding
from policies.rules.load import parse_source
from policies.store import PolicyVersion

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
_PROJECT = click.option("--project", default="default", show_default=True, help="Project the policy is for.")
_VERSION = click.option(
    "--version", "version_id", help="The version, or the start of it; without it the newest one that waits for this."
)
_SERVER = click.option(
    "--server", metavar="URL", help="Ask this server, by an API key, in place of the configured database."
)
_KEY = click.option(
    "--key", envvar="CUSTODES_SDK_KEY", help="The key for --server; better in CUSTODES_SDK_KEY than here."
)


@click.group()
def policy() -> None:
    """Policies: rules that turn scores into incidents."""


@policy.command()
@_FILES
@_JSON
def lint(files: tuple[Path, ...], as_json: bool) -> None:
    """Check policy files; exit 1 with file, line, field and the nearest valid name when something is wrong."""
    wrong = False
    for path in files:
        findings = lint_file(path)
        for finding in findings:
            _print_finding(finding, as_json)
        bad = any(finding.level == "error" for finding in findings)
        wrong = wrong or bad
        if not bad and not as_json:
            click.echo(f"{path}: ok")
    if wrong:
        raise click.exceptions.Exit(1)


@policy.command("test")
@_FILES
@_JSON
def test_command(files: tuple[Path, ...], as_json: bool) -> None:
    """Run the tests inside policy files; exit 0 when all pass, 1 when one fails."""
    failed = False
    for path in files:
        report = test_file(path)
        for finding in report.findings:
            _print_finding(finding, as_json)
        for result in report.results:
            if as_json:
                failures = [failure.render() for failure in result.failures]
                line = {"file": str(path), "test": result.name, "passed": result.passed, "failures": failures}
                click.echo(json.dumps(line))
                continue
            click.echo(f"{path}: {'pass' if result.passed else 'FAIL'}  {result.name}")
            for failure in result.failures:
                click.echo(f"    line {failure.line}: {failure.render()}")
        if not report.results and not report.findings and not as_json:
            click.echo(f"{path}: no tests; add one that fires and one that does not")
        failed = failed or not report.passed
    if failed:
        raise click.exceptions.Exit(1)


@policy.command()
@click.argument("file_or_id")
@click.option("--from", "start", default="now-7d", show_default=True, help="Start: RFC 3339, or like now-30d.")
@click.option("--to", "end", default="now", show_default=True, help="End, exclusive: RFC 3339 or now.")
@click.option("--labels-from", multiple=True, metavar="ID", help="A policy whose labelled incidents count as well.")
@click.option("--attach/--no-attach", default=True, help="Attach the report to a stored version, for its reviewers.")
@_VERSION
@_PROJECT
@_SERVER
@_KEY
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def backtest(
    file_or_id: str,
    start: str,
    end: str,
    labels_from: tuple[str, ...],
    attach: bool,
    version_id: str | None,
    project: str,
    server: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Run a policy over stored roll-ups and scores, as if it had been active then.

    Given a file, nothing is stored. Given the id of a stored policy, the report is attached to the version for its
    reviewers, and a draft goes into shadow. Exits 1 when a back-test of a version that was evaluated live differs from
    what was recorded.
    """
    now_ns = system_clock()
    from_ns, to_ns = parse_time("from", start, now_ns), parse_time("to", end, now_ns)
    if from_ns >= to_ns:
        raise click.UsageError("--from must lie before --to")
    if server is not None:
        click.echo(f"{server} runs the back-test; a month takes it some seconds", err=True)
        with PolicyServer(server, key) as policies:
            span = {"from": ns_to_rfc3339(from_ns), "to": ns_to_rfc3339(to_ns)}
            _finish(backtest_there(policies, file_or_id, version_id, span, labels_from, attach=attach), as_json)
        return
    database = open_configured()
    stored: PolicyVersion | None = None
    if Path(file_or_id).is_file():
        chosen: CompiledPolicy = require_tested(Path(file_or_id).read_text("utf-8"), file_or_id).policy
    else:
        stored = _choose(database, project, file_or_id, version_id, ("draft", "shadow", "approved", "active"))
        chosen = compile_version(stored)
    with database.read() as tx, progress_bar() as progress:
        report = report_backtest(tx, project, chosen, from_ns, to_ns, labels_from=labels_from, progress=progress)
    if stored is not None and attach and stored.state in ("draft", "shadow", "approved"):
        _attach(database, stored, from_ns, to_ns, report, now_ns)
    _finish(report, as_json)


@policy.command()
@click.argument("file_or_id")
@click.option("--against", metavar="VERSION", help="Compare with this version instead of the active one.")
@_VERSION
@_PROJECT
@_JSON
def diff(file_or_id: str, against: str | None, version_id: str | None, project: str, as_json: bool) -> None:
    """Show which fields differ from the active version; exit 1 when some do, as diff does."""
    database = open_configured()
    if Path(file_or_id).is_file():
        source = parse_source(Path(file_or_id).read_text("utf-8"), file_or_id)
    else:
        found = _choose(database, project, file_or_id, version_id, ("draft", "shadow", "approved", "retired"))
        source = parse_source(found.source, found.version)
    policy_id = source.document.id
    other = _choose(database, project, policy_id, against, () if against else ("active",))
    changes = diff_documents(parse_source(other.source, other.version).tree.root, source.tree.root)
    if as_json:
        for change in changes:
            click.echo(json.dumps(change.to_json()))
    else:
        click.echo(f"{policy_id}: {other.version} → {source.version}")
        for change in changes:
            click.echo(f"  {change.render()}")
        if not changes:
            click.echo("  no difference")
    if changes:
        raise click.exceptions.Exit(1)


@policy.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@_PROJECT
@_SERVER
@_KEY
def submit(paths: tuple[Path, ...], project: str, server: str | None, key: str | None) -> None:
    """Store policies as drafts; each must pass lint and its own tests.

    A folder stands for every .yaml and .yml file in it. Files of a Git repository are stored with the repository, the
    commit and the path they come from; with local changes they are refused where policies are read-only.
    """
    if server is not None:
        with PolicyServer(server, key) as policies:
            for path in policy_files(paths):
                made = policies.submit(path.read_text("utf-8"), find_origin(path))
                _say_submitted(made["id"], made["version"], made["state"])
        return
    database, review = open_configured(), review_of(load_settings())
    actor = Actor(local_actor(), "author")
    local = Review(review.four_eyes, review.min_shadow_ns, review.read_only, frozenset({actor.name}))
    for path in policy_files(paths):
        change = submit_policy(
            database,
            project_id=project,
            text=path.read_text("utf-8"),
            filename=str(path),
            actor=actor,
            now_ns=system_clock(),
            review=local,
            origin=find_origin(path, must_be_clean=review.read_only),
        )
        stored = change.version
        _say_submitted(stored.policy_id, stored.version, stored.state)


@policy.command()
@click.argument("policy_id")
@_VERSION
@click.option("--comment", default="", help="What you have to say.")
@click.option("--reject", is_flag=True, help="Turn the version down; needs a comment.")
@click.option("--break-glass", is_flag=True, help="Activate it now, for 24 hours or until ratified; needs a comment.")
@_PROJECT
def approve(
    policy_id: str, version_id: str | None, comment: str, reject: bool, break_glass: bool, project: str
) -> None:
    """Approve a version that somebody else wrote, or ratify one that was activated by break-glass."""
    if reject and break_glass:
        raise click.UsageError("--reject and --break-glass exclude each other")
    verdict: Verdict = "rejected" if reject else "break_glass" if break_glass else "approved"
    database, settings = open_configured(), load_settings()
    waiting = ("draft", "shadow", "approved") if reject or break_glass else ("shadow", "active", "draft")
    chosen = _choose(database, project, policy_id, version_id, waiting)
    change = judge_policy(
        database,
        project_id=project,
        policy_id=policy_id,
        version=chosen.version,
        verdict=verdict,
        comment=comment,
        actor=Actor(local_actor(), "approver", waived=settings.dev),
        now_ns=system_clock(),
        conduct=conduct_of(settings),
        review=review_of(settings),
    )
    click.echo(f"{policy_id} {chosen.version} is {change.version.state}")
    if change.version.expires_ns is not None:
        click.echo(f"it ends at {ns_to_rfc3339(change.version.expires_ns)} unless somebody else approves it")
    if change.version.state == "approved":
        click.echo(f"next: custodes policy activate {policy_id}")


@policy.command()
@click.argument("policy_id")
@_VERSION
@_PROJECT
def activate(policy_id: str, version_id: str | None, project: str) -> None:
    """Make an approved version the active one; the version before it is retired."""
    database, settings = open_configured(), load_settings()
    waiting = ("approved", "draft", "shadow", "active") if settings.dev else ("approved", "active", "shadow", "draft")
    chosen = _choose(database, project, policy_id, version_id, waiting)
    activate_policy(
        database,
        project_id=project,
        policy_id=policy_id,
        version=chosen.version,
        actor=Actor(local_actor(), "operator", waived=settings.dev),
        now_ns=system_clock(),
        conduct=conduct_of(settings),
    )
    click.echo(f"{policy_id} {chosen.version} is active")


@policy.command("list")
@_PROJECT
def list_command(project: str) -> None:
    """List every stored version."""
    rows = list_policies(open_configured(), project)
    for row in rows:
        click.echo(f"{row.policy_id:<32} {row.state:<8} {row.version}  by {row.author}")
    if not rows:
        click.echo("no policies yet; store one with: custodes policy submit FILE")


def _say_submitted(policy_id: str, version: str, state: str) -> None:
    click.echo(f"{policy_id} {version} is {state}")
    if state == "draft":
        click.echo(f"next: custodes policy backtest {policy_id}")


def _finish(report: dict[str, Any], as_json: bool) -> None:
    """Print a report; exit 1 where it differs from what live evaluation recorded."""
    if as_json:
        click.echo(json.dumps(report))
    else:
        print_report(report)
    if report["recorded"].get("equal") is False:
        click.echo("this differs from what live evaluation recorded; please report it as a defect", err=True)
        raise click.exceptions.Exit(1)


def _choose(
    database: Database, project: str, policy_id: str, version_id: str | None, states: tuple[str, ...]
) -> PolicyVersion:
    """Return the version that begins with ``version_id``, or the newest in the first of ``states`` that has any."""
    versions = list_policies(database, project, policy_id=policy_id)
    return versions[pick_version(policy_id, [(one.version, one.state) for one in versions], version_id, states)]


def _attach(
    database: Database, stored: PolicyVersion, from_ns: int, to_ns: int, report: dict[str, Any], now_ns: int
) -> None:
    change = attach_backtest(
        database,
        project_id=stored.project_id,
        policy_id=stored.policy_id,
        version=stored.version,
        from_ns=from_ns,
        to_ns=to_ns,
        report=report,
        actor=Actor(local_actor(), "author"),
        now_ns=now_ns,
    )
    click.echo(f"attached; {stored.policy_id} {stored.version} is {change.version.state}", err=True)


def _print_finding(finding: Finding, as_json: bool) -> None:
    click.echo(json.dumps(dataclasses.asdict(finding)) if as_json else finding.render())
