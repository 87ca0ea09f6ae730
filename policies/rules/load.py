"""From the text of a policy file to a checked document, or to findings that say what to repair."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from custodes.kernel.errors import InvalidInputError
from policies.errors import PolicyError
from policies.rules.canonical import version_id
from policies.rules.document import (
    AnyDocument,
    ExchangePolicyDocument,
    ExchangeTest,
    Expectation,
    GuardedAction,
    Limits,
    PolicyDocument,
    PolicyTest,
    Scope,
    Signal,
    Verify,
    WebhookAction,
)
from policies.rules.finding import Finding, nearest_name
from policies.rules.tree import Path, Tree, parse_tree, path_to_field
from policies.rules.vocabulary import AGGREGATION_NAMES, METRICS

_KINDS: dict[str, type[PolicyDocument] | type[ExchangePolicyDocument]] = {
    "Policy": PolicyDocument,
    "ExchangePolicy": ExchangePolicyDocument,
}
# Where each nested model sits: ``None`` stands for any name or index, a "kind" is pydantic's union tag.
_NESTED: tuple[tuple[tuple[str | None, ...], type[BaseModel]], ...] = (
    (("scope",), Scope),
    (("signals", None), Signal),
    (("actions", None, "webhook"), WebhookAction),
    (("actions", None, None), GuardedAction),
    (("actions", None, None, "limits"), Limits),
    (("actions", None, None, "verify"), Verify),
    (("tests", None), PolicyTest),
    (("tests", None, "expect", None), Expectation),
)
_NAME_FIELDS = {"unknown_metric": ("metric", METRICS), "unknown_aggregation": ("agg", AGGREGATION_NAMES)}
_QUOTED = re.compile(r"'([^']*)'")
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class PolicySource:
    """A policy file whose form is right: its document, its identity and the text it came from."""

    document: AnyDocument
    version: str
    text: str
    tree: Tree

    def finding(self, path: Path, message: str, nearest: str | None = None) -> Finding:
        """Return an error at ``path`` of this file."""
        return Finding(self.tree.filename, self.tree.line_of(path), path_to_field(path), message, nearest)

    def warning(self, path: Path, message: str) -> Finding:
        """Return a warning at ``path`` of this file."""
        return Finding(self.tree.filename, self.tree.line_of(path), path_to_field(path), message, level="warning")


def parse_source(text: str, filename: str) -> PolicySource:
    """Return the document in ``text`` with its identity.

    Checks form only: fields, types, names, durations. Expressions are checked by
    ``policies.rules.compile``. Raises ``PolicyError`` with one finding per problem.
    """
    tree = parse_tree(text, filename)
    if not isinstance(tree.root, dict):
        raise PolicyError((Finding(filename, 1, "", "a policy file is a mapping of fields to values"),))
    kind = tree.root.get("kind")
    model = _KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        seen = "kind is missing" if "kind" not in tree.root else f"unknown kind {kind!r}"
        nearest = nearest_name(str(kind), _KINDS) if kind else None
        message = f"{seen}; write Policy or ExchangePolicy"
        raise PolicyError((Finding(filename, tree.line_of(("kind",)), "kind", message, nearest),))
    try:
        document = model.model_validate(tree.root)
    except ValidationError as problem:
        found = [_explain(tree, model, error) for error in problem.errors(include_url=False)]
        raise PolicyError(tuple(sorted(found, key=lambda finding: finding.line))) from problem
    try:
        return PolicySource(document, version_id(tree.root), text, tree)
    except InvalidInputError as problem:
        raise PolicyError((Finding(filename, 1, "", str(problem)),)) from problem


def parse_policy(text: str, filename: str) -> AnyDocument:
    """Return the document in ``text``; raise ``PolicyError`` with one finding per problem."""
    return parse_source(text, filename).document


def _explain(tree: Tree, model: type[BaseModel], error: ErrorDetails) -> Finding:
    """Turn one pydantic error into a finding at the right line with the nearest valid name."""
    location, kind, context = error["loc"], error["type"], error.get("ctx", {})
    path = _real_path(tree.root, location)
    message, nearest = error["msg"], None
    if kind == "extra_forbidden":
        path = (*_real_path(tree.root, location[:-1]), location[-1])
        fields = _field_names(_model_at(model, location[:-1]))
        nearest = nearest_name(str(location[-1]), fields)
        message = f"unknown field; known are {', '.join(fields)}"
    elif kind == "missing":
        path = (*_real_path(tree.root, location[:-1]), location[-1])
        message = "this field is required"
    elif kind == "union_tag_not_found":
        path, message = (*path, "kind"), "this field is required"
    elif kind == "union_tag_invalid":
        path = (*path, "kind")
        message, nearest = _explain_choice(str(context.get("tag", "")), str(context.get("expected_tags", "")))
    elif kind == "literal_error":
        message, nearest = _explain_choice(str(error["input"]), str(context.get("expected", "")))
    elif kind in _NAME_FIELDS:
        field, names = _NAME_FIELDS[kind]
        written = error["input"].get(field) if isinstance(error["input"], dict) else None
        nearest = nearest_name(str(written), names) if written else None
        path = (*path, field)
    elif kind == "string_pattern_mismatch":
        message = f"{error['input']!r} is not a valid name; use letters, digits and _ (ids: lower case, also - and .)"
    return Finding(tree.filename, tree.line_of(path), path_to_field(path), message, nearest)


def _explain_choice(word: str, expected: str) -> tuple[str, str | None]:
    """Return the message about a word that is none of the options pydantic quotes, and the nearest option."""
    options = _QUOTED.findall(expected)
    return f"{word!r} is not one of {', '.join(options)}", nearest_name(word, options)


def _real_path(root: object, location: Iterable[str | int]) -> Path:
    """Return the part of pydantic's location that exists in the file, without union tags."""
    path: list[str | int] = []
    node = root
    for part in location:
        child = _child(node, part)
        if child is not _ABSENT:
            path.append(part)
            node = child
    return tuple(path)


def _child(node: object, part: str | int) -> object:
    if isinstance(node, dict):
        return node.get(part, _ABSENT)
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return _ABSENT


def _model_at(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel]:
    if model is ExchangePolicyDocument and location[:1] == ("tests",) and len(location) == 2:
        return ExchangeTest
    for pattern, nested in _NESTED:
        if len(pattern) == len(location) and all(
            want is None or want == part for want, part in zip(pattern, location, strict=True)
        ):
            return nested
    return model


def _field_names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
