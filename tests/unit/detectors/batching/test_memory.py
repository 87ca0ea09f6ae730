from __future__ import annotations

import pytest
import torch

from detectors.batching.memory import RECOVERY_BATCHES, TokenBudget, is_out_of_memory


class TestIsOutOfMemory:
    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            torch.OutOfMemoryError("CUDA out of memory"),
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        ],
    )
    def test_it_knows_the_ways_memory_runs_out(self, error: Exception) -> None:
        assert is_out_of_memory(error)

    @pytest.mark.parametrize("error", [RuntimeError("out of patience"), ValueError("memory"), KeyboardInterrupt()])
    def test_it_takes_nothing_else_for_it(self, error: BaseException) -> None:
        assert not is_out_of_memory(error)

    def test_it_knows_what_torch_really_raises_on_the_host(self) -> None:
        with pytest.raises(RuntimeError) as caught:
            torch.empty(1 << 60, dtype=torch.uint8)
        assert is_out_of_memory(caught.value)


class TestTokenBudget:
    def test_it_halves_what_did_not_fit(self) -> None:
        budget = TokenBudget(1000)
        budget.shrink(900)
        assert budget.tokens == 450

    def test_it_shrinks_once_for_batches_planned_together(self) -> None:
        budget = TokenBudget(1000)
        budget.shrink(1000)
        budget.shrink(990)
        assert budget.tokens == 500

    def test_it_never_falls_below_one(self) -> None:
        budget = TokenBudget(2)
        for _ in range(5):
            budget.shrink(budget.tokens)
        assert budget.tokens == 1

    def test_it_grows_back_after_many_batches_that_fitted(self) -> None:
        budget = TokenBudget(1000)
        budget.shrink(1000)
        for _ in range(RECOVERY_BATCHES - 1):
            budget.grow()
        assert budget.tokens == 500
        budget.grow()
        assert budget.tokens == 1000
        for _ in range(RECOVERY_BATCHES):
            budget.grow()
        assert budget.tokens == 1000

    def test_it_can_be_restored_but_not_beyond_its_limit(self) -> None:
        budget = TokenBudget(1000)
        budget.shrink(1000)
        budget.restore(5000)
        assert budget.tokens == 1000
        budget.restore(1)
        assert budget.tokens == 1000

    def test_it_refuses_a_budget_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="at least one token"):
            TokenBudget(0)
