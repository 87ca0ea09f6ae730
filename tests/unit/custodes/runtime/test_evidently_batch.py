import numpy as np
import pytest

from custodes.kernel.errors import TooLargeError
from custodes.runtime.evidently_batch import METHODS, run_batch_method


@pytest.mark.filterwarnings("ignore")
class TestRunBatchMethod:
    @pytest.mark.parametrize("method", METHODS)
    def test_it_gives_a_verdict_that_moves_with_the_shift(self, method: str) -> None:
        rng = np.random.default_rng(0)
        reference, same = rng.normal(size=(120, 8)), rng.normal(size=(120, 8))
        usual, moved = (run_batch_method(method, reference, current) for current in (same, same + 2.0))
        assert moved.drifted
        assert moved.score >= usual.score

    def test_it_refuses_a_matrix_that_would_not_fit(self) -> None:
        with pytest.raises(TooLargeError, match="all pairs"):
            run_batch_method("mmd", np.zeros((20_000, 1)), np.zeros((1, 1)))

    def test_it_shows_why_the_bootstrap_of_mmd_is_no_test(self) -> None:
        # Compared with the 5th percentile of its null, it alarms on samples of one distribution.
        rng = np.random.default_rng(1)
        looks = [
            run_batch_method("mmd", rng.normal(size=(100, 8)), rng.normal(size=(100, 8)), bootstrap=True).drifted
            for _ in range(6)
        ]
        assert sum(looks) >= 5
