from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.kernel.errors import MalformedError
from policies.engine.state import STATES, GroupState, json_to_state, state_to_json

TIMES = st.one_of(st.none(), st.integers(0, 2**62))


class TestJson:
    @given(st.builds(GroupState, st.sampled_from(STATES), TIMES, TIMES, TIMES, TIMES))
    def test_gives_back_an_equal_state(self, state: GroupState) -> None:
        assert json_to_state(state_to_json(state)) == state

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b"[]",
            b"null",
            b"\xff",
            state_to_json(GroupState()).replace(b'"ok"', b'"fine"'),
            state_to_json(GroupState()).replace(b"null", b'"1"'),
            state_to_json(GroupState()).replace(b"null", b"true"),
            state_to_json(GroupState())[:-1] + b',"more":1}',
        ],
    )
    def test_refuses_what_it_has_not_written(self, body: bytes) -> None:
        with pytest.raises(MalformedError, match="policy state"):
            json_to_state(body)

    def test_reads_what_the_release_before_wrote(self) -> None:
        body = state_to_json(GroupState("firing", 1, 2, 3, 4))[:-1] + b',"evaluated_ns":5}'
        assert json_to_state(body) == GroupState("firing", 1, 2, 3, 4)
