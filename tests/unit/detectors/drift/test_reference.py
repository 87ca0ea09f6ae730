import numpy as np
import numpy.typing as npt
import pytest

from detectors.drift.directions import Learner, Teacher
from detectors.drift.fourier import FEATURE_SCALE, draw_features
from detectors.drift.projection import fit_projection
from detectors.drift.reference import Reference, build_reference, reference_from_bytes
from detectors.errors import DriftInputError, DriftStateError
from tests.unit.detectors.drift.conftest import DIM, ENCODER, usual


class TestBuildReference:
    def test_it_divides_the_rows_between_teaching_and_holding_out(self, reference: Reference) -> None:
        assert (len(reference.taught), len(reference.held), reference.rows) == (133, 267, 400)
        assert reference.pools.sum(axis=1).tolist() == [267, 267, 267]

    def test_it_gives_the_same_reference_for_the_same_rows(self, reference: Reference) -> None:
        again = build_reference(usual(np.random.default_rng(0), 400), encoder=ENCODER, seed=1)
        other = build_reference(usual(np.random.default_rng(0), 400), encoder=ENCODER, seed=2)
        assert again.digest == reference.digest != other.digest

    def test_it_is_restored_exactly(self, reference: Reference) -> None:
        restored = reference_from_bytes(reference.to_bytes())
        assert restored.digest == reference.digest
        assert restored.to_bytes() == reference.to_bytes()

    @pytest.mark.parametrize("place", [5, 40, -1])
    def test_it_finds_damaged_bytes(self, reference: Reference, place: int) -> None:
        data = bytearray(reference.to_bytes())
        data[place] ^= 4
        with pytest.raises(DriftStateError, match="damaged"):
            reference_from_bytes(bytes(data))

    def test_it_leaves_out_rows_that_say_nothing(self) -> None:
        rows = usual(np.random.default_rng(1), 100)
        rows[3], rows[7, 2], rows[9, 0], rows[11, 1] = 0.0, np.nan, np.inf, 1e300
        assert build_reference(rows, encoder=ENCODER).rows == 96

    def test_it_refuses_too_few_rows_and_other_shapes(self) -> None:
        with pytest.raises(DriftInputError, match="at least 64"):
            build_reference(usual(np.random.default_rng(1), 63), encoder=ENCODER)
        with pytest.raises(DriftInputError, match="shape"):
            build_reference(np.ones(100), encoder=ENCODER)

    def test_it_takes_constant_embeddings(self) -> None:
        constant = build_reference(np.ones((100, 5)), encoder=ENCODER)
        assert constant.projection.width == 1
        assert len(constant.cells.centres) == 1


class TestProjection:
    def test_it_gives_a_row_the_same_bits_in_any_batch(self) -> None:
        rows = np.random.default_rng(3).normal(size=(301, 384)) * np.linspace(0.1, 3, 384)
        projection = fit_projection(rows)
        whole = projection.apply(rows)
        assert np.array_equal(whole, np.concatenate([projection.apply(row[None]) for row in rows]))
        assert np.array_equal(whole, np.rint(whole))

    def test_it_keeps_lengths(self) -> None:
        rows = usual(np.random.default_rng(4), 200)
        projection = fit_projection(rows)
        found = projection.apply(rows) * projection.spread / 2.0**12
        assert np.linalg.norm(found, axis=1) == pytest.approx(
            np.linalg.norm(rows - rows.mean(axis=0), axis=1), rel=1e-3
        )

    def test_it_puts_what_the_reference_never_showed_off_its_directions(self) -> None:
        rows = np.zeros((100, DIM))
        rows[:, :2] = np.random.default_rng(5).normal(size=(100, 2))
        strange = np.zeros((1, DIM))
        strange[0, 7] = 3.0
        projection = fit_projection(rows)
        assert projection.apply(strange)[0, -1] > 10 * projection.apply(rows)[:, -1].max()


class TestFourierFeatures:
    def test_it_is_the_cosine(self) -> None:
        coordinates = np.rint(np.random.default_rng(6).normal(size=(200, 9)) * 4096)
        drawn = draw_features(coordinates, np.random.default_rng(7))
        expected = np.cos(2 * np.pi * (coordinates @ drawn.frequencies * 2.0**-32 + drawn.phases)) * FEATURE_SCALE
        assert np.abs(drawn.apply(coordinates) - expected).max() <= 0.51

    def test_it_approximates_the_gaussian_kernel(self) -> None:
        coordinates = np.rint(np.random.default_rng(8).normal(size=(60, 9)) * 4096)
        drawn = draw_features(coordinates, np.random.default_rng(9))
        features = drawn.apply(coordinates) / FEATURE_SCALE
        squared = ((coordinates[:, None] - coordinates[None]) ** 2).sum(axis=2)
        kernel = np.exp(-0.5 * squared / np.median(squared[squared > 0]))
        # 128 features: a standard error of at most 0.0625 · √2 an entry.
        assert np.abs(features @ features.T * 2 / 128 - kernel).mean() < 0.09


class TestTeacher:
    @pytest.mark.parametrize("learner", ["classifier", "witness"])
    def test_it_points_from_usual_to_recent(self, reference: Reference, learner: Learner) -> None:
        teacher = Teacher(reference)
        moved = reference.held.copy()
        moved[:, 0] += 6000
        inputs = moved if learner == "classifier" else reference.features.apply(moved)
        direction = teacher.learn(learner, inputs.mean(axis=0), len(inputs), teacher.means[learner], teacher.rows)
        held = teacher.held[learner]
        assert direction.standard_scores(inputs).mean() > direction.standard_scores(held).mean() + 0.5

    def test_it_learns_from_whole_embeddings_what_no_direction_of_the_reference_shows(self) -> None:
        # Rows vary in two of forty dimensions and a little in all; what is new moves a little along twenty others.
        rng = np.random.default_rng(11)

        def draw(count: int) -> npt.NDArray[np.float64]:
            rows = 0.1 * rng.normal(size=(count, 40))
            rows[:, :2] += rng.normal(size=(count, 2))
            return rows

        reference = build_reference(draw(100), encoder="test-encoder")
        teacher = Teacher(reference)

        def read(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return reference.whole.apply(rows, reference.projection.apply(rows)).astype(np.float64)

        moved = np.zeros(40)
        moved[20:] = 0.06
        lesson, later, usual = read(draw(200) + moved), read(draw(200) + moved), read(draw(200))
        direction = teacher.learn("whole", lesson.mean(axis=0), 200, teacher.means["whole"], teacher.rows)
        assert direction.standard_scores(later).mean() > direction.standard_scores(usual).mean() + 1.0

    def test_it_gives_a_block_whole_numbers_that_fit_a_byte_and_counts_every_held_out_row(
        self, reference: Reference
    ) -> None:
        teacher = Teacher(reference)
        lesson = teacher.held["whole"][:40].mean(axis=0) + 20.0
        direction, pool = teacher.learn_block(lesson, 40, teacher.means["whole"], teacher.rows)
        assert np.abs(direction.weights).max() == 127
        assert np.array_equal(direction.weights, np.rint(direction.weights))
        assert pool.sum() == len(reference.held)
        # Exact in float32: the same as in float64.
        rows = teacher.held["whole"]
        assert np.array_equal(rows @ direction.weights, rows.astype(np.float64) @ direction.weights.astype(np.float64))

    def test_it_knows_no_direction_when_nothing_differs(self, reference: Reference) -> None:
        teacher = Teacher(reference)
        usual_mean = teacher.means["classifier"]
        direction = teacher.learn("classifier", usual_mean, 10, usual_mean, 10)
        assert not direction.standard_scores(reference.held).any()
