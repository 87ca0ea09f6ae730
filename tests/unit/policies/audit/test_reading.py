"""What readers get: as of the signed checkpoint, byte for byte the tlog-tiles resources."""

from __future__ import annotations

from typing import Any

import pytest

from policies.audit.errors import NotInLogError
from policies.audit.event import event_to_body
from policies.audit.merkle import leaf_hash, root_of
from policies.audit.note import parse_verifier_key
from policies.audit.reading import (
    checkpoint_to_object,
    list_entries,
    list_entries_before,
    prove,
    read_checkpoint,
    read_entries_bundle,
    read_tile,
)
from policies.audit.receipt import verify_receipt
from policies.audit.store import LeafFilter
from policies.audit.tiles import decode_entries

Bench = Any
EVERYTHING = LeafFilter()


@pytest.fixture
def filled(bench: Bench) -> Bench:
    """A log of 300 leaves."""
    bench.fill(300)
    return bench


class TestBytes:
    def test_it_serves_every_entry_and_its_hash(self, filled: Bench) -> None:
        with filled.database.read() as tx:
            entries = decode_entries(read_entries_bundle(tx, 0, 256)) + decode_entries(read_entries_bundle(tx, 1, 44))
            tiles = read_tile(tx, 0, 0, 256) + read_tile(tx, 0, 1, 44)
        assert entries == [event_to_body(filled.event(number)) for number in range(300)]
        assert tiles == b"".join(map(leaf_hash, entries))

    def test_it_serves_the_level_above(self, filled: Bench) -> None:
        with filled.database.read() as tx:
            tile = read_tile(tx, 0, 0, 256)
            assert read_tile(tx, 1, 0, 1) == root_of(tile[at : at + 32] for at in range(0, len(tile), 32))

    def test_it_serves_narrower_partial_tiles_of_older_checkpoints(self, filled: Bench) -> None:
        with filled.database.read() as tx:
            assert read_tile(tx, 0, 1, 44).startswith(read_tile(tx, 0, 1, 10))
            assert len(decode_entries(read_entries_bundle(tx, 1, 10))) == 10

    @pytest.mark.parametrize(
        ("level", "n", "width"), [(0, 1, 256), (0, 1, 45), (0, 2, 1), (1, 0, 2), (2, 0, 1), (64, 0, 1), (0, 0, 0)]
    )
    def test_it_has_nothing_beyond_the_log(self, filled: Bench, level: int, n: int, width: int) -> None:
        with filled.database.read() as tx, pytest.raises(NotInLogError):
            read_tile(tx, level, n, width)

    def test_it_does_not_show_leaves_that_are_integrated_but_not_signed(self, filled: Bench) -> None:
        filled.add(300, 310)
        filled.log._integrate_chunk(2**62)
        with filled.database.read() as tx:
            assert read_checkpoint(tx).size == 300
            assert len(list_entries(tx, EVERYTHING, from_seq=295)) == 5
            with pytest.raises(NotInLogError):
                read_tile(tx, 0, 1, 50)
            with pytest.raises(NotInLogError):
                read_entries_bundle(tx, 1, 50)
            with pytest.raises(NotInLogError):
                prove(tx, 300)

    def test_it_describes_the_checkpoint_for_the_command_line(self, filled: Bench) -> None:
        with filled.database.read() as tx:
            checkpoint = read_checkpoint(tx)
        shown = checkpoint_to_object(checkpoint, filled.key.verifier)
        assert list(shown) == ["origin", "key", "size", "root", "note"]
        assert parse_verifier_key(str(shown["key"])) == filled.key.verifier
        assert checkpoint.note.startswith(f"{shown['origin']}\n{shown['size']}\n{shown['root']}\n")

    def test_it_has_no_checkpoint_before_the_log_was_started(self, bench: Bench) -> None:
        with bench.database.read() as tx, pytest.raises(NotInLogError, match="start the server"):
            read_checkpoint(tx)


class TestListEntries:
    def numbers(self, bench: Bench, wanted: LeafFilter, **options: Any) -> list[int]:
        with bench.database.read() as tx:
            return [leaf.seq for leaf in list_entries(tx, wanted, **options)]

    def test_it_pages_upwards_without_gap_or_repetition(self, filled: Bench) -> None:
        seen: list[int] = []
        while page := self.numbers(filled, EVERYTHING, from_seq=len(seen), limit=70):
            seen += page
        assert seen == list(range(300))

    def test_it_pages_downwards_without_gap_or_repetition(self, filled: Bench) -> None:
        seen: list[int] = []
        with filled.database.read() as tx:
            while page := list_entries_before(tx, EVERYTHING, before_seq=seen[-1] if seen else 2**62, limit=70):
                seen += [leaf.seq for leaf in page]
        assert seen == list(range(299, -1, -1))

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (LeafFilter(action="policy.activated"), lambda n: n % 2 == 1),
            (LeafFilter(actor="user/u-2"), lambda n: n % 3 == 2),
            (LeafFilter(object="policy/p-4"), lambda n: n % 5 == 4),
            (LeafFilter(project="default"), lambda n: True),
            (LeafFilter(project="other"), lambda n: False),
            (LeafFilter(action="incident.opened", actor="user/u-1"), lambda n: n % 2 == 0 and n % 3 == 1),
            (
                LeafFilter(from_ns=1_795_860_010_000_000_000, to_ns=1_795_860_020_000_000_000),
                lambda n: 10 <= n < 20,
            ),
        ],
    )
    def test_it_filters(self, filled: Bench, wanted: LeafFilter, expected: Any) -> None:
        assert self.numbers(filled, wanted, limit=1000) == [n for n in range(300) if expected(n)]


class TestProve:
    @pytest.mark.parametrize("seq", [0, 1, 255, 256, 299])
    def test_it_proves_each_leaf(self, filled: Bench, seq: int) -> None:
        with filled.database.read() as tx:
            receipt = prove(tx, seq)
        verify_receipt(receipt, event_to_body(filled.event(seq)), filled.key.origin, filled.key.verifier)

    @pytest.mark.parametrize("seq", [-1, 300])
    def test_it_has_no_proof_outside_the_log(self, filled: Bench, seq: int) -> None:
        with filled.database.read() as tx, pytest.raises(NotInLogError):
            prove(tx, seq)
