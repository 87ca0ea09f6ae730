"""A real MLflow server for tests that ask for one (``make mlflow``)."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx


class RealMlflow:
    """A real MLflow server on a database of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [program, "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", str(folder), "--host", "127.0.0.1", "--port", str(port)]
        log = (folder / "server.log").open("wb")
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONPATH": ""}
        self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        log.close()
        self._client = httpx.Client(base_url=f"{self.url}/api/2.0/mlflow", trust_env=False, timeout=30)
        for _ in range(600):
            try:
                if httpx.get(f"{self.url}/health", trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)
        raise TimeoutError((folder / "server.log").read_text())

    def register(self, model: str, versions: int) -> None:
        self._post("registered-models/create", name=model)
        for _ in range(versions):
            self._post("model-versions/create", name=model, source="s3://models/x")

    def set_alias(self, model: str, alias: str, version: str) -> None:
        self._post("registered-models/alias", name=model, alias=alias, version=version)

    def set_tag(self, model: str, version: str, key: str, value: str) -> None:
        self._post("model-versions/set-tag", name=model, version=version, key=key, value=value)

    def alias(self, model: str, alias: str) -> str | None:
        answer = self._client.get("/registered-models/alias", params={"name": model, "alias": alias})
        return str(answer.json()["model_version"]["version"]) if answer.status_code == 200 else None

    def version(self, model: str, version: str) -> dict[str, Any]:
        answer = self._client.get("/model-versions/get", params={"name": model, "version": version})
        return dict(answer.raise_for_status().json()["model_version"])

    def artifacts(self, run_id: str, path: str) -> list[str]:
        answer = self._client.get("/artifacts/list", params={"run_id": run_id, "path": path})
        return [str(one["path"]) for one in answer.raise_for_status().json()["files"]]

    def stop(self) -> None:
        self._client.close()
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            # It has nothing left that is needed.
            self._process.kill()
            self._process.wait()

    def _post(self, path: str, **body: Any) -> None:
        self._client.post(f"/{path}", json=body).raise_for_status()
