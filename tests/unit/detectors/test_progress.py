from __future__ import annotations

from detectors.progress import IDLE, JUDGING, PROGRESS_BYTES, READING, Position, Progress, read_positions


class TestProgress:
    def test_it_is_idle_at_first(self) -> None:
        buffer = bytearray(PROGRESS_BYTES)
        Progress().attach(buffer)
        assert [one.stage for one in read_positions(buffer)] == [IDLE, IDLE]

    def test_it_keeps_reading_and_judging_apart(self) -> None:
        buffer = bytearray(PROGRESS_BYTES)
        progress = Progress()
        progress.attach(buffer)
        progress.enter(READING, 0)
        progress.enter(JUDGING, 3, 7)
        progress.beat(READING)
        assert read_positions(buffer) == (Position(0, 0, 2), Position(3, 7, 1))
        progress.leave(JUDGING)
        assert read_positions(buffer)[JUDGING] == Position(IDLE, 0, 2)

    def test_it_shows_where_it_is_as_soon_as_someone_looks(self) -> None:
        progress = Progress()
        progress.enter(JUDGING, 2, 5)
        buffer = bytearray(PROGRESS_BYTES)
        progress.attach(buffer)
        assert read_positions(buffer)[JUDGING] == Position(2, 5, 1)


class TestWatching:
    def test_it_tells_which_member_is_in_hand(self) -> None:
        buffer = bytearray(PROGRESS_BYTES)
        progress = Progress()
        progress.attach(buffer)
        seen = [(one, read_positions(buffer)[JUDGING].index) for one in progress.watch("abc", JUDGING, [4, 6, 9])]
        assert seen == [("a", 4), ("b", 6), ("c", 9)]

    def test_it_is_a_sequence_like_any_other(self) -> None:
        buffer = bytearray(PROGRESS_BYTES)
        progress = Progress()
        progress.attach(buffer)
        watched = progress.watch(["a", "b", "c"], JUDGING, [4, 6, 9])
        assert (len(watched), watched[-1], "b" in watched) == (3, "c", True)
        assert list(watched[1:]) == ["b", "c"]
        assert watched[1:][0] == "b"
        assert read_positions(buffer)[JUDGING].index == 6
