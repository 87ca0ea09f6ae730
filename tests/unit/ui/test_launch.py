"""How the console is started, and how it finds the API."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import ui
from ui.launch import DEFAULT_API_URL, api_url_from, streamlit_arguments

FOLDER = Path(ui.__file__).parent


class TestStreamlitArguments:
    def test_it_serves_the_console_at_the_given_address(self) -> None:
        arguments = streamlit_arguments("127.0.0.1", 8501, "http://127.0.0.1:4318")
        assert arguments[:2] == ["run", str(FOLDER / "app.py")]
        assert Path(arguments[1]).is_file()
        assert arguments[arguments.index("--server.port") + 1] == "8501"
        assert arguments[arguments.index("--server.address") + 1] == "127.0.0.1"

    def test_it_hands_the_api_address_to_the_script(self) -> None:
        arguments = streamlit_arguments("127.0.0.1", 8501, "http://10.0.0.1:9")
        script = arguments[arguments.index("--") + 1 :]
        assert api_url_from(script) == "http://10.0.0.1:9"


class TestApiUrlFrom:
    @pytest.mark.parametrize("arguments", [[], ["--api-url"], ["x", "y"]])
    def test_it_falls_back_to_the_default(self, arguments: list[str]) -> None:
        assert api_url_from(arguments) == DEFAULT_API_URL


class TestConfiguration:
    @pytest.mark.parametrize(
        ("section", "option", "value"),
        [
            ("client", "showErrorDetails", "none"),
            ("client", "toolbarMode", "viewer"),
            ("client", "disableDataExport", True),
            ("browser", "gatherUsageStats", False),
            ("server", "enableAgentApi", False),
            ("server", "enableStaticServing", False),
        ],
    )
    def test_it_is_closed_by_default(self, section: str, option: str, value: object) -> None:
        configuration = tomllib.loads((FOLDER / ".streamlit" / "config.toml").read_text("utf-8"))
        assert configuration[section][option] == value

    def test_it_fetches_no_font_and_no_style_from_elsewhere(self) -> None:
        assert "://" not in (FOLDER / ".streamlit" / "config.toml").read_text("utf-8")
