"""Puts other LoRA weights behind a name that vLLM serves.

vLLM needs ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=true``; its manual calls that risky, so reach it only over a private,
authenticated way. Servers that know ``load_inplace`` replace the weights without a gap. On older ones the name is
unloaded and loaded again, and is away for the moment between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from policies.actions.adapters import Done, Order, Plan, Refused, Result, TryLater, checked_name
from policies.actions.http import Answer, JsonClient, NoAnswer
from policies.errors import EndpointError

_ABSENT = "(not loaded)"


class VllmAdapter:
    """Serves ``target.lora`` from one of the paths in ``target.to``, then unloads ``target.unload`` if named.

    Versions are paths; only those below one of ``lora_paths`` of the connection are ever loaded.
    """

    def __init__(self, client: JsonClient, lora_paths: Sequence[str]) -> None:
        self._client = client
        self._allowed = tuple(PurePosixPath(one) for one in lora_paths)

    def plan(self, target: Mapping[str, str]) -> Plan | TryLater | Refused:
        """Return the path behind the name and those that may replace it."""
        try:
            name = checked_name(target.get("lora"), "target.lora")
            paths = [self._checked_path(one.strip()) for one in target.get("to", "").split(",") if one.strip()]
        except EndpointError as error:
            return Refused(str(error))
        present = self._read_paths()
        if not isinstance(present, dict):
            return present
        if not paths:
            return Refused("a vllm target names the paths to go back to: target.to")
        pattern = target.get("deployment", "{version}")
        deployments = {one: pattern.replace("{version}", PurePosixPath(one).name) for one in paths}
        return Plan(present.get(name, _ABSENT), tuple(paths), deployments, has_versions=True)

    def send(self, order: Order) -> Result:
        """Put the wanted weights behind the name, if it still serves those the decision was about."""
        try:
            name = checked_name(order.target.get("lora"), "target.lora")
            wanted = self._checked_path(order.to_version or "")
        except EndpointError as error:
            return Refused(str(error))
        present = self._read_paths()
        if not isinstance(present, dict):
            return present
        before = present.get(name, _ABSENT)
        # A name that is gone may have been taken away by an attempt of ours that was cut short.
        if before not in (wanted, order.from_version) and not (order.again and before == _ABSENT):
            return Refused(
                f"{name} is served from {before}, not {order.from_version} as when this was decided; "
                "somebody else has changed it, so nothing was done"
            )
        if before != wanted:
            problem = self._switch(name, wanted, is_loaded=before != _ABSENT)
            if problem is not None:
                return problem
        return self._finish(order, name, wanted)

    def look(self, order: Order) -> Result:
        """Return whether the name is served from the wanted path."""
        return self.send(order)

    def _switch(self, name: str, wanted: str, *, is_loaded: bool) -> TryLater | Refused | None:
        body = {"lora_name": name, "lora_path": wanted, **({"load_inplace": True} if is_loaded else {})}
        answer = self._client.call("POST", "/v1/load_lora_adapter", body)
        if isinstance(answer, Answer) and answer.status == 400 and is_loaded and "already been loaded" in answer.text:
            gone = self._client.call("POST", "/v1/unload_lora_adapter", {"lora_name": name})
            if not isinstance(gone, Answer) or not gone.is_success:
                return _explain(gone, f"{name} could not be unloaded")
            answer = self._client.call("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": wanted})
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, f"{name} could not be loaded from {wanted}")
        return None

    def _finish(self, order: Order, name: str, wanted: str) -> Result:
        seen = self._read_paths()
        if not isinstance(seen, dict):
            return TryLater(f"{name} was loaded but could not be read back: {seen.reason}")
        if seen.get(name) != wanted:
            return Refused(f"{name} was loaded from {wanted} and is served from {seen.get(name, _ABSENT)}")
        old = order.target.get("unload")
        if old and old != name and old in seen:
            answer = self._client.call("POST", "/v1/unload_lora_adapter", {"lora_name": old})
            if not isinstance(answer, Answer) or not (answer.is_success or answer.status == 404):
                return _explain(answer, f"{old} could not be unloaded")
        return Done(f"{name} is served from {wanted}, and reads so")

    def _read_paths(self) -> dict[str, str] | TryLater | Refused:
        answer = self._client.call("GET", "/v1/models")
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, "the loaded adapters cannot be listed")
        cards = answer.field("data")
        if not isinstance(cards, list):
            return Refused("the server's list of models is not one of vLLM")
        return {str(one["id"]): str(one.get("root")) for one in cards if isinstance(one, dict) and one.get("parent")}

    def _checked_path(self, path: str) -> str:
        pure = PurePosixPath(path)
        if not path or ".." in pure.parts or not any(pure.is_relative_to(one) for one in self._allowed):
            allowed = ", ".join(map(str, self._allowed)) or "none"
            raise EndpointError(f"{path[:128]!r} lies outside the paths the connection allows ({allowed})")
        return str(pure)


def _explain(answer: Answer | NoAnswer, what: str) -> TryLater | Refused:
    if isinstance(answer, NoAnswer):
        return (Refused if answer.forbidden else TryLater)(f"{what}: {answer.reason}")
    reason = f"{what}: the server answered {answer.status} {answer.text}".rstrip()
    if answer.status in (404, 405) and "load" in what:
        reason += " (is VLLM_ALLOW_RUNTIME_LORA_UPDATING set?)"
    return TryLater(reason) if answer.status >= 500 or answer.status in (408, 425, 429) else Refused(reason)
