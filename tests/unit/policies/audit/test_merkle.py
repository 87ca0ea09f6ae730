"""The Merkle tree: known answers, every small size exhaustively, and every mutation of every proof refused."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audit.errors import ProofError
from policies.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    consistency_ranges,
    inclusion_proof,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    root_of,
    split_point,
    verify_consistency,
    verify_inclusion,
)

SIZES = range(1, 49)

# The leaves and roots that Certificate Transparency implementations test against (RFC 6962 reference data).
REFERENCE_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves(count: int) -> list[bytes]:
    """Return ``count`` distinct leaf hashes."""
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def recursive_root(hashes: list[bytes]) -> bytes:
    """Compute the root straight from the definition in RFC 6962 section 2.1."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    middle = 1
    while middle * 2 < len(hashes):
        middle *= 2
    return node_hash(recursive_root(hashes[:middle]), recursive_root(hashes[middle:]))


def flip(value: bytes, bit: int) -> bytes:
    """Return ``value`` with one bit changed."""
    return bytes([value[0] ^ (1 << bit)]) + value[1:]


def proof_mutations(proof: list[bytes]) -> list[list[bytes]]:
    """Return proofs near ``proof`` and different from it: changed, dropped, doubled, swapped, extended."""
    mutated = [[], [*proof, bytes(32)], [bytes(32), *proof], [*proof, EMPTY_ROOT], proof[::-1]]
    for at, value in enumerate(proof):
        mutated.append([*proof[:at], flip(value, at % 8), *proof[at + 1 :]])
        mutated.append([*proof[:at], *proof[at + 1 :]])
        mutated.append([*proof[: at + 1], *proof[at:]])
        if at:
            mutated.append([*proof[: at - 1], value, proof[at - 1], *proof[at + 1 :]])
    return [candidate for candidate in mutated if candidate != proof]


class TestKnownAnswers:
    def test_it_gives_the_published_root_at_every_size_of_the_reference_tree(self) -> None:
        hashes = [leaf_hash(entry) for entry in REFERENCE_LEAVES]
        assert [root_of(hashes[: size + 1]).hex() for size in range(8)] == REFERENCE_ROOTS

    def test_it_gives_the_hash_of_nothing_for_the_empty_tree(self) -> None:
        assert root_of([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    def test_it_gives_the_ranges_drawn_in_the_module(self) -> None:
        assert inclusion_ranges(4, 7) == [(5, 6), (6, 7), (0, 4)]
        assert consistency_ranges(3, 7) == [(2, 3), (3, 4), (0, 2), (4, 7)]

    def test_it_proves_the_examples_of_rfc_6962(self) -> None:
        # Section 2.1.3: the tree of seven leaves, whose nodes are named there.
        a, b, c, d, e, f, j = leaves(7)
        g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
        k, last = node_hash(g, h), node_hash(i, j)
        hashes = [a, b, c, d, e, f, j]
        assert inclusion_proof(hashes, 0) == [b, h, last]
        assert inclusion_proof(hashes, 3) == [c, g, last]
        assert inclusion_proof(hashes, 4) == [f, j, k]
        assert inclusion_proof(hashes, 6) == [i, k]
        assert consistency_proof(hashes, 3) == [c, d, g, last]
        assert consistency_proof(hashes, 4) == [last]
        assert consistency_proof(hashes, 6) == [i, j, k]

    def test_it_keeps_leaves_and_nodes_apart(self) -> None:
        left, right = leaves(2)
        assert leaf_hash(left + right) != node_hash(left, right)

    @pytest.mark.parametrize(("count", "expected"), [(2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (9, 8), (2**40, 2**39)])
    def test_it_splits_below_the_count(self, count: int, expected: int) -> None:
        assert split_point(count) == expected


class TestFrontier:
    @pytest.mark.parametrize("size", [0, *SIZES, 255, 256, 257])
    def test_it_has_the_root_of_the_definition(self, size: int) -> None:
        assert root_of(leaves(size)) == recursive_root(leaves(size))

    @given(st.integers(0, 300), st.integers(0, 300))
    def test_it_goes_on_from_its_bytes_as_if_never_stored(self, stored: int, more: int) -> None:
        frontier = Frontier()
        hashes = leaves(stored + more)
        for value in hashes[:stored]:
            frontier.append(value)
        again = Frontier.from_bytes(stored, frontier.to_bytes())
        for value in hashes[stored:]:
            again.append(value)
        assert again.size == stored + more
        assert again.root() == root_of(hashes)

    @pytest.mark.parametrize(("size", "length"), [(0, 32), (1, 0), (1, 31), (3, 32), (4, 64), (5, 65), (-1, 0)])
    def test_it_refuses_bytes_that_are_not_the_peaks_of_the_size(self, size: int, length: int) -> None:
        with pytest.raises(ProofError):
            Frontier.from_bytes(size, bytes(length))


class TestInclusion:
    @pytest.mark.parametrize("size", SIZES)
    def test_it_accepts_every_true_proof_and_no_mutation_of_it(self, size: int) -> None:
        hashes = leaves(size)
        root = root_of(hashes)
        for index in range(size):
            proof = inclusion_proof(hashes, index)
            verify_inclusion(index, size, hashes[index], proof, root)
            for wrong in proof_mutations(proof):
                with pytest.raises(ProofError):
                    verify_inclusion(index, size, hashes[index], wrong, root)
            with pytest.raises(ProofError):
                verify_inclusion(index, size, flip(hashes[index], 0), proof, root)
            with pytest.raises(ProofError):
                verify_inclusion(index, size, hashes[index], proof, flip(root, 0))

    @pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 32, 33])
    def test_it_binds_the_index(self, size: int) -> None:
        hashes = leaves(size)
        root = root_of(hashes)
        for index in range(size):
            proof = inclusion_proof(hashes, index)
            for other in {-1, *range(size + 2)} - {index}:
                with pytest.raises(ProofError):
                    verify_inclusion(other, size, hashes[index], proof, root)

    def test_it_refuses_a_node_passed_off_as_a_leaf(self) -> None:
        hashes = leaves(4)
        with pytest.raises(ProofError):
            verify_inclusion(0, 4, node_hash(hashes[0], hashes[1]), [node_hash(hashes[2], hashes[3])], root_of(hashes))

    @pytest.mark.parametrize("length", [0, 31, 33, 64])
    def test_it_refuses_hashes_of_another_length(self, length: int) -> None:
        hashes = leaves(2)
        with pytest.raises(ProofError):
            verify_inclusion(0, 2, hashes[0], [bytes(length)], root_of(hashes))

    @pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
    def test_it_has_no_proof_for_a_leaf_outside_the_tree(self, index: int, size: int) -> None:
        with pytest.raises(ProofError):
            inclusion_ranges(index, size)


class TestConsistency:
    @pytest.mark.parametrize("size", SIZES)
    def test_it_accepts_every_true_proof_and_no_mutation_of_it(self, size: int) -> None:
        hashes = leaves(size)
        root = root_of(hashes)
        for old in range(size + 1):
            proof, old_root = consistency_proof(hashes, old), root_of(hashes[:old])
            verify_consistency(old, size, old_root, root, proof)
            for wrong in proof_mutations(proof):
                with pytest.raises(ProofError):
                    verify_consistency(old, size, old_root, root, wrong)
            with pytest.raises(ProofError):
                verify_consistency(old, size, flip(old_root, 0), root, proof)
            if old > 0:
                with pytest.raises(ProofError):
                    verify_consistency(old, size, old_root, flip(root, 0), proof)

    @pytest.mark.parametrize("size", [2, 3, 8, 21])
    def test_it_refuses_a_tree_with_one_old_leaf_changed(self, size: int) -> None:
        honest = leaves(size)
        for old in range(1, size):
            for changed in range(old):
                forged = [*honest[:changed], leaf_hash(b"forged"), *honest[changed + 1 :]]
                with pytest.raises(ProofError):
                    verify_consistency(
                        old, size, root_of(honest[:old]), root_of(forged), consistency_proof(forged, old)
                    )

    @pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (1, 0)])
    def test_it_refuses_impossible_sizes(self, old: int, new: int) -> None:
        with pytest.raises(ProofError):
            consistency_ranges(old, new)
        with pytest.raises(ProofError):
            verify_consistency(old, new, EMPTY_ROOT, EMPTY_ROOT, [])

    def test_it_refuses_an_empty_tree_with_another_root(self) -> None:
        with pytest.raises(ProofError):
            verify_consistency(0, 0, bytes(32), bytes(32), [])

    @given(st.integers(1, 400), st.data())
    def test_it_holds_at_larger_sizes(self, size: int, data: st.DataObject) -> None:
        old = data.draw(st.integers(0, size))
        hashes = leaves(size)
        verify_consistency(old, size, root_of(hashes[:old]), root_of(hashes), consistency_proof(hashes, old))
