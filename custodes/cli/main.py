"""The ``custodes`` command: parse, call, print.

Human text goes to stdout, diagnostics to stderr; ``--json`` prints for machines. Exit codes: 0 ok,
1 a finding, 2 usage or configuration, 3 unavailable; ``audit verify`` has codes of its own.
"""

from __future__ import annotations

import importlib
import sys

import click

from custodes import __version__
from custodes.kernel.errors import ConfigurationError, ConflictError, CustodesError, InvalidInputError, NotFoundError
from policies.audit.errors import AuditError, NotInLogError

_COMMANDS = {
    "up": ("custodes.cli.run", "up", "API, worker, scheduler and console in one go."),
    "serve": ("custodes.cli.run", "serve", "The API only: takes traffic, answers the console."),
    "work": ("custodes.cli.run", "work", "The worker only: scores, evaluates policies, delivers webhooks."),
    "console": ("custodes.cli.run", "console", "The Streamlit console only."),
    "demo": ("custodes.cli.demo", "demo", "Seeded history and live example traffic, then as up --dev."),
    "db": ("custodes.cli.database", "db", "Upgrade, check and show the database schema."),
    "project": ("custodes.cli.projects", "project", "Create and list projects."),
    "key": ("custodes.cli.keys", "key", "Create, rotate, list and revoke API keys."),
    "price": ("custodes.cli.prices", "price", "List, set, remove and import prices of models."),
    "ledger": ("custodes.cli.ledger", "ledger", "What became of everything that arrived."),
    "endpoint": ("custodes.cli.endpoints", "endpoint", "Add and list webhook endpoints."),
    "proxy": ("custodes.cli.proxy", "proxy", "Capture calls on their way to an OpenAI-compatible server."),
    "score": ("custodes.cli.score", "score", "Score exchanges of a file offline."),
    "fairness": ("custodes.cli.fairness", "fairness", "Compare outcomes of groups in a file."),
    "drift": ("custodes.cli.drift", "drift", "Watch a file of texts or embeddings for drift offline."),
    "models": ("custodes.cli.models", "models", "List, import, verify and fetch local model bundles."),
    "policy": ("custodes.cli.policy", "policy", "Lint, test, submit, activate and list policies."),
    "action": ("custodes.cli.actions", "action", "List, approve, refuse and stop what policies ask for."),
    "dataset": ("custodes.cli.datasets", "dataset", "Export reviewed exchanges for fine-tuning, and ask for training."),
    "subject": ("custodes.cli.subjects", "subject", "Erase the captured text of a person."),
    "audit": ("custodes.cli.audit", "audit", "Checkpoint, prove, export and verify the audit log."),
    "doctor": ("custodes.cli.doctor", "doctor", "What is wrong, and what to do."),
}


class _LazyGroup(click.Group):
    """Imports a command's module only when it is called, so that ``custodes --help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{name} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="custodes")
def cli() -> None:
    """Custodes watches large language models in production, and lets anyone check the watcher."""


def main() -> None:
    """Run the command line; every expected error is one line on stderr and an exit code."""
    try:
        code = cli.main(prog_name="custodes", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except (ConfigurationError, InvalidInputError) as error:
        _fail(error, 2)
    except (NotFoundError, ConflictError, NotInLogError) as error:
        _fail(error, 1)
    except (CustodesError, AuditError) as error:
        _fail(error, 3)
    except OSError as error:
        # A file named on the command line that cannot be read or written.
        _fail(f"{error.filename}: {error.strerror}", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(error: Exception | str, code: int) -> None:
    click.echo(f"custodes: {error}", err=True)
    sys.exit(code)
