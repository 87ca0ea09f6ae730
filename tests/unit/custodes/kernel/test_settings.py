"""Settings: one frozen tree, and bad configuration names the variable that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from custodes.kernel.errors import ConfigurationError
from custodes.kernel.settings import (
    Settings,
    child_environment,
    load_settings,
    setting_names,
    settings_to_environment,
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away every variable of ours that the person running the tests has set."""
    import os

    for name in list(os.environ):
        if name.upper().startswith("CUSTODES_"):
            monkeypatch.delenv(name)


class TestLoadSettings:
    def test_it_has_the_documented_defaults(self) -> None:
        settings = load_settings()
        assert (settings.http.port, settings.grpc.port, settings.console.port) == (4318, 4317, 8501)
        assert settings.http.host == "127.0.0.1"
        assert settings.data_dir == Path("custodes-data")
        assert settings.dev is False
        assert settings.models.offline is True
        assert settings.database_url == f"sqlite:///{Path('custodes-data').resolve() / 'custodes.db'}"

    @pytest.mark.parametrize(
        ("name", "value", "path", "expected"),
        [
            ("CUSTODES_HTTP__PORT", "5000", "http.port", 5000),
            ("custodes_http__port", "5000", "http.port", 5000),
            ("CUSTODES_DEV", "true", "dev", True),
            ("CUSTODES_DATABASE__URL", "postgresql+psycopg://u@h/d", "database_url", "postgresql+psycopg://u@h/d"),
            ("CUSTODES_MODELS__DIR", "/models", "models.dir", Path("/models")),
            ("CUSTODES_CONSOLE__URL", "https://custodes.example.org/", "console_url", "https://custodes.example.org"),
            ("CUSTODES_AUDIT__KEY_DIR", "/keys", "audit_key_dir", Path("/keys")),
            (
                "CUSTODES_WEBHOOK__ALLOWED_PRIVATE_CIDRS",
                '["10.0.0.0/8"]',
                "webhook.allowed_private_cidrs",
                ("10.0.0.0/8",),
            ),
            ("CUSTODES_LOG__LEVEL", "DEBUG", "log.level", "DEBUG"),
        ],
    )
    def test_it_reads_the_environment(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, path: str, expected: object
    ) -> None:
        monkeypatch.setenv(name, value)
        found: object = load_settings()
        for part in path.split("."):
            found = getattr(found, part)
        assert found == expected

    def test_it_lets_the_caller_override_one_field_of_a_section(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUSTODES_HTTP__HOST", "0.0.0.0")
        monkeypatch.setenv("CUSTODES_HTTP__PORT", "5000")
        settings = load_settings(http={"port": 0})
        assert (settings.http.host, settings.http.port) == ("0.0.0.0", 0)

    @pytest.mark.parametrize("name", sorted(setting_names()))
    def test_it_takes_an_empty_variable_for_an_unset_one(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(name, "")
        assert load_settings() == Settings()

    def test_it_is_frozen(self) -> None:
        settings = load_settings()
        with pytest.raises(ValidationError):
            settings.dev = True  # type: ignore[misc]  # The point of the test.
        with pytest.raises(ValidationError):
            settings.http.port = 1  # type: ignore[misc]  # The point of the test.

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("CUSTODES_HTTP__PORT", "http"),
            ("CUSTODES_HTTP__PORT", "70000"),
            ("CUSTODES_DEV", "perhaps"),
            ("CUSTODES_LOG__LEVEL", "LOUD"),
            ("CUSTODES_MODELS__PROFILE", "best"),
            ("CUSTODES_WORKER__LEASE_S", "0"),
            ("CUSTODES_WEBHOOK__ALLOWED_PRIVATE_CIDRS", "10.0.0.0/8"),
            ("CUSTODES_WEBHOOK__ALLOWED_PRIVATE_CIDRS", '["10.0.0.0/33"]'),
            ("CUSTODES_HTPP__PORT", "4318"),
            ("CUSTODES_HTTP__PROT", "4318"),
            ("CUSTODES_HTTP", '{"port": 1}'),
        ],
    )
    def test_it_names_the_bad_variable(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match=name):
            load_settings()

    def test_it_names_every_bad_variable_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUSTODES_HTTP__PORT", "x")
        monkeypatch.setenv("CUSTODES_LOG__LEVEL", "y")
        with pytest.raises(ConfigurationError, match=r"CUSTODES_HTTP__PORT.*CUSTODES_LOG__LEVEL"):
            load_settings()

    def test_it_does_not_look_at_variables_of_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP__PORT", "1")
        monkeypatch.setenv("PORT", "1")
        monkeypatch.setenv("CUSTODES_SDK_ENDPOINT", "http://elsewhere")
        assert load_settings().http.port == 4318


class TestSettingNames:
    def test_it_describes_every_field(self) -> None:
        names = setting_names()
        assert "CUSTODES_HTTP__PORT" in names
        assert "CUSTODES_DATA_DIR" in names
        assert [name for name, description in names.items() if not description.endswith(".")] == []


class TestAddresses:
    @pytest.mark.parametrize(
        ("host", "shown"),
        [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("10.0.0.7", "10.0.0.7"), ("::1", "[::1]")],
    )
    def test_it_gives_what_this_machine_can_open(self, host: str, shown: str) -> None:
        settings = load_settings(http={"host": host}, console={"host": host})
        assert settings.api_url == f"http://{shown}:4318"
        assert settings.console_url == f"http://{shown}:8501"


class TestGrpcAddress:
    def test_it_listens_where_http_does_unless_told_otherwise(self) -> None:
        settings = load_settings(http={"host": "0.0.0.0"})
        assert (settings.grpc_host, settings.grpc_url(1)) == ("0.0.0.0", "http://127.0.0.1:1")
        settings = load_settings(http={"host": "0.0.0.0"}, grpc={"host": "::1"})
        assert (settings.grpc_host, settings.grpc_url(1)) == ("::1", "http://[::1]:1")


class TestSettingsToEnvironment:
    @given(
        st.builds(
            Settings,
            dev=st.booleans(),
            data_dir=st.sampled_from([Path("a"), Path("/b c/d")]),
            http=st.fixed_dictionaries({"port": st.integers(0, 65535)}),
            models=st.fixed_dictionaries({"dir": st.sampled_from([None, Path("/m")]), "offline": st.booleans()}),
            webhook=st.fixed_dictionaries(
                {"allowed_private_cidrs": st.lists(st.sampled_from(["10.0.0.0/8", "fd00::/8"])).map(tuple)}
            ),
            policy=st.fixed_dictionaries({"interval_s": st.floats(min_value=0.001, max_value=1e6)}),
        )
    )
    def test_it_gives_a_child_the_same_settings(self, settings: Settings) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings_to_environment(settings).items():
                patch.setenv(name, value)
            assert load_settings() == settings

    def test_it_names_only_known_variables(self) -> None:
        settings = Settings(dev=True, http={"port": 1})
        assert set(settings_to_environment(settings)) == {"CUSTODES_DEV", "CUSTODES_HTTP__PORT"}


class TestChildEnvironment:
    def test_it_adds_to_what_this_process_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOME_VARIABLE", "here")
        made = child_environment({"CUSTODES_DEV": "true"})
        assert (made["SOME_VARIABLE"], made["CUSTODES_DEV"]) == ("here", "true")
