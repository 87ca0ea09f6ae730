"""Rolls an alias of the MLflow model registry back, over its REST API (2.9 and later; tried with 3.17).

The registry has no compare-and-set, so this is the closest there is: read the alias, act only if it still names the
version the decision was about, set it, and read it back. Whoever moves the alias between reading and setting is
overwritten; whoever moves it before or after is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from policies.actions.adapters import Done, Order, Plan, Refused, Result, TryLater, checked_name
from policies.actions.http import Answer, JsonClient, NoAnswer
from policies.errors import EndpointError

_API = "/api/2.0/mlflow"
_MOST_VERSIONS = 200
GOOD_TAG = ("validation_status", "approved")
"""The tag by which MLflow's own guide marks versions that may serve."""


class MlflowAdapter:
    """Moves ``target.alias`` of ``target.model``.

    Where to: ``target.to`` names versions, the best first; ``target.to_alias`` an alias that marks the fallback;
    without both, the newest version below the present one that carries the tag ``validation_status: approved``.
    """

    def __init__(self, client: JsonClient) -> None:
        self._client = client

    def plan(self, target: Mapping[str, str]) -> Plan | TryLater | Refused:
        """Return the version behind the alias and the ones that may replace it."""
        try:
            model, alias = _names(target)
        except EndpointError as error:
            return Refused(str(error))
        present = self._read_alias(model, alias)
        if not isinstance(present, str):
            return present
        found = self._candidates(target, model, present)
        if not isinstance(found, list):
            return found
        if not found:
            return Refused(
                f"no version of {model} to go back to: name target.to or target.to_alias, or tag a version "
                f"{GOOD_TAG[0]}={GOOD_TAG[1]}"
            )
        pattern = target.get("deployment", f"{model}-v{{version}}")
        return Plan(present, tuple(found), {one: pattern.replace("{version}", one) for one in found}, has_versions=True)

    def send(self, order: Order) -> Result:
        """Move the alias if it still stands where the decision saw it; done already counts as done."""
        try:
            model, alias = _names(order.target)
        except EndpointError as error:
            return Refused(str(error))
        wanted = order.to_version
        present = self._read_alias(model, alias)
        if not isinstance(present, str):
            return present
        if present == wanted:
            return Done(f"{model}@{alias} is version {present} already")
        if wanted is None or present != order.from_version:
            return Refused(
                f"{model}@{alias} is version {present}, not {order.from_version} as when this was decided; "
                "somebody else has moved it, so nothing was done"
            )
        answer = self._client.call(
            "POST", f"{_API}/registered-models/alias", {"name": model, "alias": alias, "version": wanted}
        )
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, f"{model}@{alias} could not be set to version {wanted}")
        seen = self._read_alias(model, alias)
        if not isinstance(seen, str):
            return TryLater(f"{model}@{alias} was set but could not be read back: {seen.reason}")
        if seen != wanted:
            return Refused(f"{model}@{alias} was set to version {wanted} and reads {seen}; somebody else moved it")
        return Done(f"{model}@{alias} went from version {order.from_version} to {wanted}, and reads so")

    def look(self, order: Order) -> Result:
        """Return whether the alias stands where the order wants it."""
        return self.send(order)

    def _read_alias(self, model: str, alias: str) -> str | TryLater | Refused:
        query = urlencode({"name": model, "alias": alias}, quote_via=quote)
        answer = self._client.call("GET", f"{_API}/registered-models/alias?{query}")
        if isinstance(answer, Answer) and answer.is_success:
            version = answer.field("model_version", "version")
            return str(version) if isinstance(version, str | int) else Refused("the registry names no version")
        return _explain(answer, f"{model}@{alias} cannot be read")

    def _candidates(self, target: Mapping[str, str], model: str, present: str) -> list[str] | TryLater | Refused:
        if "to" in target:
            return [one.strip() for one in target["to"].split(",") if one.strip() and one.strip() != present]
        if "to_alias" in target:
            fallback = self._read_alias(model, target["to_alias"])
            return [fallback] if isinstance(fallback, str) else fallback
        query = urlencode({"filter": f"name='{model}'", "max_results": str(_MOST_VERSIONS)}, quote_via=quote)
        answer = self._client.call("GET", f"{_API}/model-versions/search?{query}")
        if not isinstance(answer, Answer) or not answer.is_success:
            return _explain(answer, f"the versions of {model} cannot be listed")
        good = [int(str(one["version"])) for one in answer.field("model_versions") or () if _is_good(one)]
        below = [one for one in sorted(good, reverse=True) if not present.isdigit() or one < int(present)]
        return [str(one) for one in below]


def _names(target: Mapping[str, str]) -> tuple[str, str]:
    for name in ("model", "alias"):
        if "'" in target.get(name, "") or "\\" in target.get(name, ""):
            raise EndpointError(f"target.{name} holds a quote or a backslash, which the registry's filter cannot take")
    model = checked_name(target.get("model"), "target.model", extra="-_. /")
    return model, checked_name(target.get("alias"), "target.alias")


def _is_good(version: Mapping[str, object]) -> bool:
    tags = version.get("tags")
    is_ready = version.get("status", "READY") == "READY" and str(version.get("version", "")).isdigit()
    has_tag = isinstance(tags, list) and any((one.get("key"), one.get("value")) == GOOD_TAG for one in tags)
    return is_ready and has_tag


def _explain(answer: Answer | NoAnswer, what: str) -> TryLater | Refused:
    if isinstance(answer, NoAnswer):
        return (Refused if answer.forbidden else TryLater)(f"{what}: {answer.reason}")
    said = answer.field("message")
    words = f": {said[:200]}" if isinstance(said, str) else ""
    reason = f"{what}: the registry answered {answer.status}{words}"
    return TryLater(reason) if answer.status >= 500 or answer.status in (408, 425, 429) else Refused(reason)
