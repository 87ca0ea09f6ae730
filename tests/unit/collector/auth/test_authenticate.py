"""Who a request comes from."""

from __future__ import annotations

import base64
from contextlib import AbstractContextManager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.auth import (
    DEV_PRINCIPAL,
    Authenticator,
    KeyLimits,
    KeyRecord,
    Principal,
    create_key,
    find_key,
    revoke_key,
)
from collector.auth.authenticate import REMEMBER_NS, is_direct_loopback, read_key_text
from collector.auth.keys import _checksum, generate_key
from collector.auth.remembered import MAX_KEYS, RememberedKey, RememberedKeys
from custodes.db import Database, ReadTx, WriteTx
from custodes.kernel.clock import MINUTE_NS, SECOND_NS
from custodes.kernel.errors import AuthenticationError, DatabaseError

NOW_NS = 1_795_300_000_000_000_000


class Gate:
    """An authenticator with one viewer key, whose clock the test moves."""

    def __init__(self, database: Database, *, dev: bool = False, expires_ns: int | None = None) -> None:
        self.now_ns = NOW_NS
        self.database = database
        self.timer = 0
        self.authenticator = Authenticator(database, lambda: self.now_ns, dev=dev, timer=lambda: self.timer)
        with database.write() as tx:
            self.made = create_key(
                tx,
                project_id="default",
                role="viewer",
                actor="test",
                actor_role="",
                now_ns=NOW_NS,
                expires_ns=expires_ns,
            )

    def ask(self, headers: dict[str, str] | None = None, host: str | None = "203.0.113.9") -> Principal:
        given = {"authorization": f"Bearer {self.made.text}"} if headers is None else headers
        return self.authenticator.authenticate(given, host)


class TestAGoodKey:
    def test_it_is_the_caller_whichever_way_it_comes(self, database: Database) -> None:
        gate = Gate(database)
        basic = base64.b64encode(f"anyone:{gate.made.text}".encode()).decode()
        for headers in (
            {"authorization": f"Bearer {gate.made.text}"},
            {"authorization": f"bearer   {gate.made.text}"},
            {"authorization": f"Bearer%20{gate.made.text}"},
            {"authorization": f"Basic {basic}"},
            {"x-api-key": gate.made.text},
            {"authorization": "Negotiate abc", "x-api-key": gate.made.text},
        ):
            assert gate.ask(headers) == Principal(f"key:{gate.made.record.id}", "default", "viewer", ("viewer",))

    def test_its_use_is_noted_at_most_once_a_minute(self, database: Database) -> None:
        gate = Gate(database)
        noted = []
        for later_ns in (0, MINUTE_NS - 1, MINUTE_NS):
            gate.now_ns = NOW_NS + later_ns
            gate.ask()
            with database.read() as tx:
                found = find_key(tx, gate.made.record.id)
            assert found is not None
            noted.append(found.last_used_ns)
        assert noted == [NOW_NS, NOW_NS, NOW_NS + MINUTE_NS]

    def test_it_is_good_although_its_use_cannot_be_noted(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate(database)

        def busy() -> AbstractContextManager[WriteTx]:
            raise DatabaseError("busy")

        monkeypatch.setattr(database, "write", busy)
        assert gate.ask().role == "viewer"


class TestLimits:
    def test_the_principal_carries_the_limits_of_its_key(self, database: Database) -> None:
        gate = Gate(database)
        with database.write() as tx:
            made = create_key(
                tx,
                project_id="default",
                role="ingester",
                actor="t",
                actor_role="",
                now_ns=NOW_NS,
                limits=KeyLimits(1500.5, 3),
            )
        found = gate.ask({"x-api-key": made.text})
        assert (found.max_spans_per_s, found.max_concurrent) == (1500.5, 3)
        assert (gate.ask().max_spans_per_s, gate.ask().max_concurrent) == (None, None)


class TestARememberedKey:
    """What is remembered is trusted for a moment, and only what is still good."""

    def unread(self, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make every further read of the database fail."""

        def refuse() -> AbstractContextManager[ReadTx]:
            raise DatabaseError("not now")

        monkeypatch.setattr(gate.database, "read", refuse)

    def revoke(self, gate: Gate) -> None:
        with gate.database.write() as tx:
            revoke_key(tx, gate.made.record.id, project_id=None, actor="t", actor_role="", now_ns=gate.now_ns)

    def test_it_needs_no_database_until_its_time_is_up(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate(database)
        known = gate.ask()
        self.unread(gate, monkeypatch)
        gate.timer = REMEMBER_NS - 1
        assert gate.ask() == known
        gate.timer = REMEMBER_NS
        with pytest.raises(DatabaseError):
            gate.ask()

    def test_it_is_trusted_for_at_most_two_seconds(self) -> None:
        assert REMEMBER_NS <= 2 * SECOND_NS

    def test_it_is_recalled_without_the_database_or_not_at_all(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate(database)
        headers = {"x-api-key": gate.made.text}
        assert gate.authenticator.recall(headers) is None
        known = gate.ask()
        self.unread(gate, monkeypatch)
        assert gate.authenticator.recall(headers) == known
        assert gate.authenticator.recall({}) is None
        assert gate.authenticator.recall({"x-api-key": generate_key("viewer")}) is None
        with pytest.raises(AuthenticationError):
            gate.authenticator.recall({"authorization": "Bearer"})

    def test_it_is_refused_at_once_when_this_process_forgets_it(self, database: Database) -> None:
        gate = Gate(database)
        gate.ask()
        self.revoke(gate)
        gate.authenticator.forget(gate.made.record.id)
        with pytest.raises(AuthenticationError, match="revoked"):
            gate.ask()

    def test_it_is_refused_two_seconds_after_another_process_revoked_it(self, database: Database) -> None:
        gate = Gate(database)
        gate.ask()
        self.revoke(gate)
        gate.timer = REMEMBER_NS
        with pytest.raises(AuthenticationError, match="revoked"):
            gate.ask()

    def test_it_is_refused_when_it_expires_meanwhile(self, database: Database) -> None:
        gate = Gate(database, expires_ns=NOW_NS + 10)
        gate.ask()
        gate.now_ns = NOW_NS + 10
        with pytest.raises(AuthenticationError, match="expired"):
            gate.ask()

    def test_it_stays_forgotten_when_a_check_was_under_way(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate(database)

        def revoke_after_reading(tx: ReadTx, key_id: str) -> KeyRecord | None:
            found = find_key(tx, key_id)
            gate.authenticator.forget(key_id)
            return found

        monkeypatch.setattr("collector.auth.authenticate.find_key", revoke_after_reading)
        gate.ask()
        assert gate.authenticator.recall({"x-api-key": gate.made.text}) is None

    def test_it_does_not_vouch_for_another_secret_with_its_id(self, database: Database) -> None:
        gate = Gate(database)
        gate.ask()
        head = "_".join([*gate.made.text.split("_")[:3], generate_key("viewer").split("_")[3]])
        with pytest.raises(AuthenticationError, match="not known"):
            gate.ask({"x-api-key": f"{head}_{_checksum(head)}"})

    def test_a_wrong_key_is_never_remembered(self, database: Database) -> None:
        gate = Gate(database)
        wrong = {"x-api-key": generate_key("viewer")}
        with pytest.raises(AuthenticationError):
            gate.ask(wrong)
        assert gate.authenticator.recall(wrong) is None

    def test_keys_that_are_remembered_are_bounded(self) -> None:
        keys = RememberedKeys()
        for number in range(MAX_KEYS + 1):
            key = RememberedKey(str(number), DEV_PRINCIPAL, 1, 1)
            keys.put(number.to_bytes(4, "big"), key, keys.ticket())
        assert keys.get((0).to_bytes(4, "big")) is None
        assert keys.get(MAX_KEYS.to_bytes(4, "big")) is not None


class TestABadKey:
    def test_it_is_refused_when_it_is_not_ours_revoked_or_expired(self, database: Database) -> None:
        gate = Gate(database, expires_ns=NOW_NS + 10)
        with pytest.raises(AuthenticationError, match="not known"):
            gate.ask({"x-api-key": generate_key("admin")})
        gate.now_ns = NOW_NS + 9
        gate.ask()
        gate.now_ns = NOW_NS + 10
        with pytest.raises(AuthenticationError, match="expired"):
            gate.ask()
        with database.write() as tx:
            revoke_key(tx, gate.made.record.id, project_id=None, actor="t", actor_role="", now_ns=NOW_NS)
        with pytest.raises(AuthenticationError, match="revoked"):
            gate.ask()

    def test_it_is_refused_when_only_its_secret_differs(self, database: Database) -> None:
        gate = Gate(database)
        other = generate_key("viewer").split("_")
        stolen = "_".join(["cst", "vwr", gate.made.record.id, other[3]])
        with pytest.raises(AuthenticationError, match="not known"):
            gate.ask({"x-api-key": f"{stolen}_{_checksum(stolen)}"})

    def test_it_is_refused_in_dev_too(self, database: Database) -> None:
        gate = Gate(database, dev=True)
        with pytest.raises(AuthenticationError):
            gate.ask({"x-api-key": "wrong", "host": "localhost"}, "127.0.0.1")

    @given(st.dictionaries(st.sampled_from(["authorization", "x-api-key"]), st.text(min_size=1, max_size=60)))
    def test_it_raises_our_error_only(self, headers: dict[str, str]) -> None:
        with suppress(AuthenticationError):
            read_key_text(headers)

    @pytest.mark.parametrize(
        "written", ["Bearer", "Bearer ", "Basic !!!", "Basic eA==", "Basic eDo=", "Basic /w==", "x"]
    )
    def test_an_authorization_header_without_a_key_is_an_error_and_not_nothing(self, written: str) -> None:
        with pytest.raises(AuthenticationError):
            read_key_text({"authorization": written})


class TestNoKey:
    def test_it_is_refused_without_dev(self, database: Database) -> None:
        with pytest.raises(AuthenticationError, match="no key"):
            Gate(database).ask({"host": "localhost"}, "127.0.0.1")

    def test_it_is_the_developer_in_dev_from_loopback(self, database: Database) -> None:
        gate = Gate(database, dev=True)
        assert gate.ask({"host": "127.0.0.1:4318"}, "127.0.0.1") is DEV_PRINCIPAL
        assert gate.ask({"host": "[::1]:4318"}, "::1") is DEV_PRINCIPAL

    @pytest.mark.parametrize(
        ("headers", "host"),
        [
            ({"host": "localhost"}, "203.0.113.9"),
            ({"host": "localhost"}, None),
            ({"host": "localhost"}, "testclient"),
            ({"host": "localhost", "x-forwarded-for": "203.0.113.9"}, "127.0.0.1"),
            ({"host": "localhost", "x-forwarded-for": ""}, "127.0.0.1"),
            ({"host": "localhost", "forwarded": "for=203.0.113.9"}, "127.0.0.1"),
            ({"host": "attacker.example"}, "127.0.0.1"),
            ({"host": "localhost.attacker.example"}, "127.0.0.1"),
            ({"host": "["}, "127.0.0.1"),
            ({"host": "localhost", "origin": "https://attacker.example"}, "127.0.0.1"),
            ({"host": "localhost", "origin": "null"}, "127.0.0.1"),
        ],
    )
    def test_it_is_nobody_through_a_proxy_or_from_a_web_site(self, headers: dict[str, str], host: str | None) -> None:
        assert not is_direct_loopback(headers, host)

    def test_it_may_come_from_a_page_on_this_machine(self) -> None:
        assert is_direct_loopback({"host": "localhost:4318", "origin": "http://localhost:3000"}, "127.0.0.1")
