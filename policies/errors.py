"""The errors of the policies package, all below ``custodes.kernel.errors.CustodesError``.

::

    InvalidInputError
    ├── PolicyError        a policy file is unusable; carries one finding per problem
    ├── ExpressionError    one CEL expression does not compile; carries position and the wrong name
    └── EndpointError      a webhook address or secret is unusable
    UnavailableError
    └── UnresolvedError    a webhook host has no address right now; the delivery is tried again
"""

from __future__ import annotations

from custodes.kernel.errors import InvalidInputError, UnavailableError
from policies.rules.finding import Finding


class PolicyError(InvalidInputError):
    """A policy file cannot be used; ``findings`` says why, in the order of the file, never empty."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(finding.render() for finding in findings))
        self.findings = findings


class ExpressionError(InvalidInputError):
    """A CEL expression does not compile; ``unknown_name`` is set when a name in it was not declared."""

    def __init__(self, message: str, *, unknown_name: str | None = None) -> None:
        super().__init__(message)
        self.unknown_name = unknown_name


class EndpointError(InvalidInputError):
    """A webhook address, secret or public key cannot be used; repeating the attempt cannot help."""


class UnresolvedError(UnavailableError):
    """A webhook host did not resolve to any address; a later attempt may."""
