"""How many tokens a batch may have, given that memory has run out before."""

from __future__ import annotations

import logging
from threading import Lock
from typing import Final

_LOG = logging.getLogger(__name__)

# After this many batches in a row that fitted, twice the tokens are tried again: memory may have been another's.
RECOVERY_BATCHES: Final = 64


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory ran out, on the host or on an accelerator.

    torch raises OutOfMemoryError for an accelerator and a bare RuntimeError for the host; known by name, so that this
    package needs no torch.
    """
    if isinstance(error, MemoryError) or any(one.__name__ == "OutOfMemoryError" for one in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


class TokenBudget:
    """The most padded tokens a batch may have: halved when memory runs out, regained slowly. Safe between threads."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"a batch needs room for at least one token, got {most}")
        self._most = most
        self._tokens = most
        self._fitted = 0
        self._lock = Lock()

    @property
    def tokens(self) -> int:
        """The budget now."""
        return self._tokens

    def shrink(self, tried: int) -> None:
        """Halve the budget because a batch of ``tried`` padded tokens did not fit.

        A batch planned under a larger budget than the present one proves nothing, so several lanes that run out
        together shrink the budget once.
        """
        with self._lock:
            self._fitted = 0
            if 1 < tried <= self._tokens:
                self._tokens = tried // 2
                _LOG.warning("memory ran out; batches are smaller now", extra={"batch_tokens": self._tokens})

    def restore(self, tokens: int) -> None:
        """Take shrinking back to ``tokens``: a single window did not fit, so it was to blame and not the batch."""
        with self._lock:
            self._tokens = max(self._tokens, min(tokens, self._most))

    def grow(self) -> None:
        """Count a batch that fitted."""
        with self._lock:
            if self._tokens == self._most:
                return
            self._fitted += 1
            if self._fitted >= RECOVERY_BATCHES:
                self._fitted = 0
                self._tokens = min(self._most, self._tokens * 2)
                _LOG.info("batches are larger again", extra={"batch_tokens": self._tokens})
