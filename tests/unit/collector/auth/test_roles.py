"""Which role may do what."""

from __future__ import annotations

import pytest

from collector.auth import DEV_PRINCIPAL, PERMISSIONS, ROLES, Permission, Principal, Role
from collector.auth.roles import ROLE_ABBREVIATIONS
from custodes.kernel.errors import PermissionError_


def holder(role: Role) -> Principal:
    return Principal("key:x", "default", role, (role,))


class TestTheTable:
    def test_it_knows_every_role_and_no_other(self) -> None:
        assert set(ROLE_ABBREVIATIONS) == set(ROLES)
        assert set().union(*PERMISSIONS.values()) == set(ROLES)

    def test_it_keeps_an_administrator_from_activating_submitting_and_revealing(self) -> None:
        for permission in ("policy_activate", "policy_submit", "reveal"):
            assert not holder("admin").may(permission)

    def test_it_lets_nobody_both_write_and_activate_a_policy(self) -> None:
        assert not PERMISSIONS["policy_submit"] & PERMISSIONS["policy_activate"]

    def test_it_lets_an_ingester_do_nothing_but_ingest(self) -> None:
        assert [one for one in PERMISSIONS if holder("ingester").may(one)] == ["ingest"]

    def test_it_lets_a_viewer_do_nothing_but_read(self) -> None:
        assert [one for one in PERMISSIONS if holder("viewer").may(one)] == ["read"]


class TestRequire:
    def test_it_names_the_role_seen_and_the_roles_that_may(self) -> None:
        with pytest.raises(PermissionError_) as caught:
            holder("viewer").require("reveal")
        assert (caught.value.role, caught.value.needed) == ("viewer", ("analyst",))
        assert "analyst" in str(caught.value)

    @pytest.mark.parametrize("permission", list(PERMISSIONS))
    def test_it_lets_the_caller_of_dev_do_everything(self, permission: Permission) -> None:
        DEV_PRINCIPAL.require(permission)
