"""The file that names the servers actions may use, and the adapters made from it.

.. code-block:: yaml

    connections:
      mlflow: {adapter: mlflow, url: "https://mlflow.example.org", token_file: /run/secrets/mlflow}
      gpu-1:  {adapter: vllm, url: "https://gpu-1.example.org", lora_paths: [/models/adapters/]}

Policies name a connection, never an address or a credential. Credentials stay in files of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from custodes.kernel.errors import ConfigurationError
from policies.actions.adapters import Adapter
from policies.actions.github import GitHubAdapter
from policies.actions.gitlab import GitLabAdapter
from policies.actions.http import JsonClient
from policies.actions.mlflow import MlflowAdapter
from policies.actions.vllm import VllmAdapter
from policies.errors import EndpointError
from policies.hooks.address import AddressRules

AdapterName = Literal["mlflow", "vllm", "github", "gitlab"]


class Connection(BaseModel):
    """One server. ``projects`` names the projects that may use it; left out, all may."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    adapter: AdapterName
    url: str = Field(min_length=1, max_length=2048)
    token_file: str | None = None
    projects: tuple[str, ...] | None = Field(None, strict=False)
    lora_paths: tuple[str, ...] = Field((), strict=False)


class ConnectionFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    connections: dict[str, Connection] = Field(default_factory=dict, max_length=100)


def read_connections(path: Path | None) -> dict[str, Connection]:
    """Return the named connections; raise ``ConfigurationError`` for a file that cannot be used."""
    if path is None:
        return {}
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
        return dict(ConnectionFile.model_validate(written or {}).connections)
    except OSError as error:
        raise ConfigurationError(f"CUSTODES_ACTION__CONNECTIONS_FILE: {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"CUSTODES_ACTION__CONNECTIONS_FILE: {path} is not YAML") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigurationError(f"CUSTODES_ACTION__CONNECTIONS_FILE: {path}: {problems}") from error


def make_adapter(name: str, made: Connection, rules: AddressRules, timeout_s: float) -> Adapter:
    """Return the adapter of a connection; raise ``ConfigurationError`` for a token that cannot be read."""
    token = None if made.token_file is None else _read_token(name, Path(made.token_file))
    headers: dict[str, str] = {}
    if token is not None:
        headers = {"private-token": token} if made.adapter == "gitlab" else {"authorization": f"Bearer {token}"}
    try:
        client = JsonClient(made.url, rules, headers=headers, timeout_s=timeout_s)
    except EndpointError as error:
        raise ConfigurationError(f"connection {name!r}: {error}") from error
    if made.adapter == "mlflow":
        return MlflowAdapter(client)
    if made.adapter == "vllm":
        return VllmAdapter(client, made.lora_paths)
    return GitHubAdapter(client) if made.adapter == "github" else GitLabAdapter(client)


def may_use(made: Connection | None, adapter: str, project_id: str) -> bool:
    """Return whether a project may use a connection for an adapter."""
    return made is not None and made.adapter == adapter and (made.projects is None or project_id in made.projects)


def make_adapters(connections: Mapping[str, Connection], rules: AddressRules, timeout_s: float) -> dict[str, Adapter]:
    """Return the adapter of every connection, by name."""
    return {name: make_adapter(name, made, rules, timeout_s) for name, made in connections.items()}


def _read_token(name: str, path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"connection {name!r}: the token file {path} cannot be read") from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(f"connection {name!r}: the token file {path} holds no single printable token")
    return token
