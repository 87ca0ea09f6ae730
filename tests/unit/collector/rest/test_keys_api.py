"""``/keys``: created, listed and revoked over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from collector.rest.keys import read_expiry
from custodes.kernel.clock import DAY_NS, HOUR_NS, ns_to_rfc3339
from custodes.kernel.errors import InvalidInputError


class TestLife:
    def test_a_new_key_works_until_it_is_revoked(self, server: Any) -> None:
        admin = server.client("admin")
        created = admin.post("/api/v1/keys", json={"role": "viewer", "expires": "90d", "note": "dashboard"})
        assert created.status_code == 201
        key = created.json()
        assert key["expires_at"] == ns_to_rfc3339(server.now_ns + 90 * DAY_NS)
        assert key["audit"]["seq"] < key["audit"]["checkpoint_size"]
        headers = {"x-api-key": key["secret"]}
        assert server.client().get("/api/v1/me", headers=headers).json()["actor"] == f"key:{key['id']}"
        assert admin.delete(f"/api/v1/keys/{key['id']}").status_code == 200
        assert server.client().get("/api/v1/me", headers=headers).status_code == 401
        assert admin.delete(f"/api/v1/keys/{key['id']}").status_code == 409

    def test_the_list_shows_no_secret_and_only_the_own_project(self, server: Any) -> None:
        admin = server.client("admin")
        secret = admin.post("/api/v1/keys", json={"role": "viewer"}).json()["secret"]
        other = server.client("admin", project="second")
        listed = admin.get("/api/v1/keys")
        assert {row["role"] for row in listed.json()["rows"]} == {"admin", "viewer"}
        assert secret.split("_")[3] not in listed.text
        assert len(other.get("/api/v1/keys").json()["rows"]) == 1
        assert other.delete(f"/api/v1/keys/{secret.split('_')[2]}").status_code == 404

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"role": "root"},
            {"role": "viewer", "expires": "soon"},
            {"role": "viewer", "expires": "0d"},
            {"role": "viewer", "expires": "2001-01-01T00:00:00Z"},
            {"role": "viewer", "project": "second"},
            {"role": "viewer", "note": "a\u0000b"},
            {"role": "viewer", "max_concurrent": 0},
            {"role": "viewer", "max_spans_per_s": -1},
        ],
    )
    def test_a_mistake_is_400_and_creates_nothing(self, local_server: Any, body: dict[str, str]) -> None:
        admin = local_server.client("admin")
        assert admin.post("/api/v1/keys", json=body).status_code == 400
        assert len(admin.get("/api/v1/keys").json()["rows"]) == 1


class TestRotation:
    def test_both_keys_work_until_the_overlap_ends(self, server: Any) -> None:
        admin = server.client("admin")
        old = admin.post("/api/v1/keys", json={"role": "viewer", "max_concurrent": 2, "note": "n"}).json()
        answer = admin.post(f"/api/v1/keys/{old['id']}/rotate", json={"overlap": "1h"})
        assert answer.status_code == 201
        made = answer.json()
        assert (made["role"], made["note"], made["max_concurrent"], made["expires_at"]) == ("viewer", "n", 2, None)
        assert made["old"]["id"] == old["id"]
        assert made["old"]["expires_at"] == ns_to_rfc3339(server.now_ns + HOUR_NS)
        assert "secret" not in made["old"]
        assert made["audit"]["seq"] < made["audit"]["checkpoint_size"]
        assert self.me(server, old) == self.me(server, made) == 200
        server.now_ns += HOUR_NS
        assert (self.me(server, old), self.me(server, made)) == (401, 200)
        assert admin.post(f"/api/v1/keys/{old['id']}/rotate", json={}).status_code == 409

    def me(self, server: Any, key: dict[str, Any]) -> int:
        return int(server.client().get("/api/v1/me", headers={"x-api-key": key["secret"]}).status_code)

    def test_the_overlap_is_a_day_unless_given(self, local_server: Any) -> None:
        admin = local_server.client("admin")
        old = admin.post("/api/v1/keys", json={"role": "viewer"}).json()
        made = admin.post(f"/api/v1/keys/{old['id']}/rotate").json()
        assert made["old"]["expires_at"] == ns_to_rfc3339(local_server.now_ns + DAY_NS)

    def test_without_overlap_the_old_key_is_refused_at_once(self, server: Any) -> None:
        admin = server.client("admin")
        old = admin.post("/api/v1/keys", json={"role": "viewer"}).json()
        assert self.me(server, old) == 200
        assert admin.post(f"/api/v1/keys/{old['id']}/rotate", json={"overlap": "0h"}).status_code == 201
        assert self.me(server, old) == 401

    def test_a_stranger_cannot_rotate_it(self, local_server: Any) -> None:
        old = local_server.client("admin").post("/api/v1/keys", json={"role": "viewer"}).json()
        other = local_server.client("admin", project="second")
        assert other.post(f"/api/v1/keys/{old['id']}/rotate", json={}).status_code == 404
        assert self.me(local_server, old) == 200

    @pytest.mark.parametrize("overlap", ["", "1", "soon", "-1h", "31d", "1.5h", "99999d"])
    def test_a_mistake_is_400(self, local_server: Any, overlap: str) -> None:
        admin = local_server.client("admin")
        old = admin.post("/api/v1/keys", json={"role": "viewer"}).json()
        assert admin.post(f"/api/v1/keys/{old['id']}/rotate", json={"overlap": overlap}).status_code == 400


class TestExpiry:
    NOW_NS = 1_795_300_000_000_000_000

    def test_it_is_a_lifetime_or_a_time(self) -> None:
        later_ns = self.NOW_NS + 12 * HOUR_NS
        assert read_expiry(None, self.NOW_NS) is None
        assert read_expiry("12h", self.NOW_NS) == read_expiry(ns_to_rfc3339(later_ns), self.NOW_NS) == later_ns

    @pytest.mark.parametrize("written", ["", "12", "h", "-1d", "1.5d", "1w", "100000d"])
    def test_anything_else_is_our_error(self, written: str) -> None:
        with pytest.raises(InvalidInputError, match="expires"):
            read_expiry(written, self.NOW_NS)
