"""The client's calls about reviews: what people judge answers to be, for data sets."""

from __future__ import annotations

from custodes_sdk import models as answers
from custodes_sdk.decoding import decode
from custodes_sdk.governance import API, GovernanceCalls


class ReviewCalls(GovernanceCalls):
    """The part of :class:`~custodes_sdk.Client` about judging answers."""

    def reviews(self, *, exchange: str | None = None) -> answers.Page[answers.Review]:
        """Return what people judged answers to be, newest first; of one exchange when asked."""
        return self._page(answers.Review, "/reviews", {"exchange": exchange})

    def review(self, exchange: str, verdict: str, *, corrected: str | None = None) -> answers.Review:
        """Judge an answer ``good`` or ``bad``, with a better one where there is one; the latest judgement counts."""
        body = {"exchange": exchange, "verdict": verdict} | ({"corrected": corrected} if corrected else {})
        return decode(answers.Review, self._transport.send("POST", f"{API}/reviews", json=body))
