"""The receiver's side of Standard Webhooks, as a customer would write it."""

from __future__ import annotations

from collections.abc import Mapping

from custodes.kernel.clock import SECOND_NS, Clock
from policies.hooks.signing import verify_headers


class WebhookVerifier:
    """Checks signatures with the endpoint's secret, once it is known; ``clock`` may be set anew."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.secret: str | None = None

    def verify(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Return whether the signature is right and the timestamp recent."""
        if self.secret is None:
            return False
        return verify_headers([self.secret], headers, body, self.clock() // SECOND_NS)
