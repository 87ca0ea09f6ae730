"""``custodes policy``: lint, test, submit, activate and list policies."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from custodes.cli.database import open_configured
from custodes.cli.keys import local_actor
from custodes.kernel.clock import system_clock
from custodes.kernel.settings import load_settings
from policies.check import lint_file, test_file
from policies.rules.finding import Finding
from policies.service import Actor, activate_policy, list_policies, submit_policy

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")


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
@_FILES
@click.option("--project", default="default", show_default=True, help="Project the policy is for.")
def submit(files: tuple[Path, ...], project: str) -> None:
    """Store policies as drafts; each must pass lint and its own tests."""
    database = open_configured()
    for path in files:
        change = submit_policy(
            database,
            project_id=project,
            text=path.read_text("utf-8"),
            filename=str(path),
            actor=Actor(local_actor(), "author"),
            now_ns=system_clock(),
        )
        stored = change.version
        click.echo(f"{stored.policy_id} {stored.version} is {stored.state}")
        if stored.state == "draft":
            click.echo(f"activate it with: custodes policy activate {stored.policy_id} --version {stored.version}")


@policy.command()
@click.argument("policy_id")
@click.option("--version", "version_id", required=True, help="The version to activate, as printed by submit.")
@click.option("--project", default="default", show_default=True, help="Project the policy is for.")
def activate(policy_id: str, version_id: str, project: str) -> None:
    """Make a stored version the active one; the version before it is retired."""
    activate_policy(
        open_configured(),
        project_id=project,
        policy_id=policy_id,
        version=version_id,
        actor=Actor(local_actor(), "operator"),
        now_ns=system_clock(),
        console_url=load_settings().console_url,
    )
    click.echo(f"{policy_id} {version_id} is active")


@policy.command("list")
@click.option("--project", default="default", show_default=True, help="Project to list.")
def list_command(project: str) -> None:
    """List every stored version."""
    rows = list_policies(open_configured(), project)
    for row in rows:
        click.echo(f"{row.policy_id:<32} {row.state:<8} {row.version}  by {row.author}")
    if not rows:
        click.echo("no policies yet; store one with: custodes policy submit FILE")


def _print_finding(finding: Finding, as_json: bool) -> None:
    click.echo(json.dumps(dataclasses.asdict(finding)) if as_json else finding.render())
