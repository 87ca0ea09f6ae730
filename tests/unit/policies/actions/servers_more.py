"""vLLM, GitHub and GitLab as far as actions use them, answering as their sources and manuals say."""

from __future__ import annotations

from typing import Any

from tests.unit.policies.actions.servers import FakeServer, Reply


class VllmServer(FakeServer):
    """``/v1/models`` and the two LoRA routes. ``knows_inplace`` is what servers of 2026 do."""

    def __init__(self) -> None:
        super().__init__()
        self.loras: dict[str, str] = {}
        self.knows_inplace = True
        self.gaps = 0

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        if path == "/v1/models":
            base = {"id": "llama", "object": "model", "root": "/models/llama", "parent": None}
            cards = [{"id": name, "root": root, "parent": "llama"} for name, root in self.loras.items()]
            return 200, {"object": "list", "data": [base, *cards]}
        if path == "/v1/load_lora_adapter":
            name = body["lora_name"]
            if name in self.loras and not (self.knows_inplace and body.get("load_inplace")):
                words = f"The lora adapter '{name}' has already been loaded."
                return 400, {"object": "error", "message": words, "type": "InvalidUserInput", "code": 400}
            if "missing" in body["lora_path"]:
                return 404, {"object": "error", "message": "No adapter found", "type": "NotFoundError", "code": 404}
            self.loras[name] = body["lora_path"]
            return 200, f"Success: LoRA adapter '{name}' added successfully."
        if path == "/v1/unload_lora_adapter":
            if self.loras.pop(body["lora_name"], None) is None:
                return 404, {"object": "error", "message": "cannot be found", "type": "NotFoundError", "code": 404}
            self.gaps += 1
            return 200, f"Success: LoRA adapter '{body['lora_name']}' removed successfully."
        return 404, {"detail": "Not Found"}


class GitHubServer(FakeServer):
    """One workflow. ``details`` is what servers since February 2026 answer a dispatch with."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[dict[str, Any]] = []
        self.details = True
        self.named = True

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        workflow = "/repos/acme/deploy/actions/workflows/rollback.yml"
        if path == workflow:
            return 200, {"id": 1, "name": "rollback", "state": "active"}
        if path == f"{workflow}/dispatches":
            run = {
                "id": 100 + len(self.runs),
                "status": "queued",
                "conclusion": None,
                "display_title": f"rollback {body['inputs']['action_id']}" if self.named else "rollback",
                "name": "rollback",
            }
            self.runs.insert(0, run)
            return (
                (200, {"workflow_run_id": run["id"]}) if self.details and body.get("return_run_details") else (204, "")
            )
        if path == f"{workflow}/runs":
            return 200, {"total_count": len(self.runs), "workflow_runs": self.runs}
        if path.startswith("/repos/acme/deploy/actions/runs/"):
            number = int(path.rsplit("/", 1)[1])
            return next(((200, run) for run in self.runs if run["id"] == number), (404, {"message": "Not Found"}))
        return 404, {"message": "Not Found"}


class GitLabServer(FakeServer):
    """One project and its pipelines."""

    def __init__(self) -> None:
        super().__init__()
        self.pipelines: list[dict[str, Any]] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        project = "/api/v4/projects/acme%2Fdeploy"
        if path == project:
            return 200, {"id": 7, "path_with_namespace": "acme/deploy"}
        if path == f"{project}/pipeline":
            made = {"id": 500 + len(self.pipelines), "status": "created", "variables": body["variables"]}
            self.pipelines.insert(0, made)
            return 201, {"id": made["id"], "status": "created"}
        if path == f"{project}/pipelines":
            return 200, [{"id": one["id"], "status": one["status"]} for one in self.pipelines]
        for one in self.pipelines:
            if path == f"{project}/pipelines/{one['id']}":
                return 200, {"id": one["id"], "status": one["status"]}
            if path == f"{project}/pipelines/{one['id']}/variables":
                return 200, one["variables"]
        return 404, {"message": "404 Not Found"}
