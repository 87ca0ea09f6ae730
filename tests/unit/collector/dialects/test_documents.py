"""Documents in the shapes of vector stores and frameworks.

Built after what LangChain, LlamaIndex, Haystack, Chroma, Pinecone, Qdrant and Weaviate return.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.dialects.documents import MAX_DOCUMENTS, read_documents

NINE = {"id": None, "content": "It opens at nine.", "score": None}


def doc(content: str | None, identifier: str | None = None, score: float | None = None) -> dict[str, Any]:
    return {"id": identifier, "content": content, "score": score}


class TestReadDocuments:
    @pytest.mark.parametrize(
        "value",
        [
            "It opens at nine.",
            ["It opens at nine."],
            [["It opens at nine."]],
            [{"content": "It opens at nine."}],
            [{"page_content": "It opens at nine.", "metadata": {}, "type": "Document"}],
            {"documents": [{"page_content": "It opens at nine."}]},
            {"documents": {"output": [{"text": "It opens at nine."}]}},
            {"output": [{"page_content": "It opens at nine."}]},
            {"results": [{"document": {"content": "It opens at nine."}}]},
            [{"lc": 1, "type": "constructor", "kwargs": {"page_content": "It opens at nine."}}],
            [{"node": {"text": "It opens at nine."}}],
            {"hits": [{"entity": {"text": "It opens at nine."}}]},
            [{"metadata": {"text": "It opens at nine."}}],
            {"documents": [["It opens at nine."]], "distances": [[0.2]]},
        ],
    )
    def test_a_document_is_read_whatever_its_shape(self, value: Any) -> None:
        assert read_documents(value) == [NINE]
        if not isinstance(value, str):
            assert read_documents(json.dumps(value)) == [NINE]
            assert read_documents(str(value)) == [NINE]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"ids": [["a", "b"]], "documents": [["x", "y"]]}, [doc("x", "a"), doc("y", "b")]),
            ({"ids": [["a"]], "documents": [["x", "y"]]}, [doc("x"), doc("y")]),
            ({"matches": [{"id": "a", "score": 0.5, "metadata": {"text": "x"}}]}, [doc("x", "a", 0.5)]),
            ([{"id": 7, "score": 0.5, "payload": {"content": "x"}}], [doc("x", "7", 0.5)]),
            ([{"node": {"id_": "a", "text": "x"}, "score": 0.5}], [doc("x", "a", 0.5)]),
            ([{"page_content": "x", "metadata": {"doc_uri": "s3://a"}}], [doc("x", "s3://a")]),
            ([{"id": "a", "score": 0.5}], [doc(None, "a", 0.5)]),
            ([{"content": "x", "score": float("nan")}], [doc("x")]),
            ([{"content": ""}, {}, None, 5], []),
            (None, []),
            (5, []),
        ],
    )
    def test_ids_and_scores_come_with_them(self, value: Any, expected: list[dict[str, Any]]) -> None:
        assert read_documents(value) == expected

    def test_a_cut_list_is_unreadable(self) -> None:
        (document,) = read_documents('[{"page_content": "It op')
        assert document["unreadable"] == '[{"page_content": "It op'
        assert document["content"] is None

    def test_at_most_a_thousand_are_kept(self) -> None:
        assert len(read_documents([["x"] * 900, ["y"] * 900])) == MAX_DOCUMENTS


NAMES = st.sampled_from(["content", "id", "score", "documents", "node", "metadata", "ids", "output", "document"])
VALUES = st.recursive(
    st.one_of(st.text(max_size=3), st.integers(), st.floats(), st.none(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=10,
)


class TestAnyValue:
    @given(VALUES)
    def test_documents_have_their_three_fields(self, value: Any) -> None:
        for document in read_documents(value):
            assert set(document) - {"unreadable"} == {"id", "content", "score"}
            assert document["content"] is None or isinstance(document["content"], str)
            assert document["id"] is None or isinstance(document["id"], str)
