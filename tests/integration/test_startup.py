"""Whatever keeps the server from starting is one clear line that says what to do, and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from custodes.runtime.ports import bind_port


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CUSTODES_")}
    return subprocess.run(
        [sys.executable, "-m", "custodes", *arguments],
        env={**environment, "CUSTODES_GRPC__PORT": "0", **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def only_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    return lines[0]


class TestStartup:
    def test_it_names_a_busy_port(self, tmp_path: Path) -> None:
        holder = bind_port("127.0.0.1", 0, "test")
        port = str(holder.getsockname()[1])
        done = run("up", "--no-console", CUSTODES_HTTP__PORT=port, CUSTODES_DATA_DIR=str(tmp_path / "data"))
        holder.close()
        assert done.returncode == 3
        assert f"port {port} on 127.0.0.1 is in use" in only_line(done.stderr)
        assert "CUSTODES_HTTP__PORT" in done.stderr

    def test_it_names_a_busy_port_of_grpc(self, tmp_path: Path) -> None:
        holder = bind_port("127.0.0.1", 0, "test")
        ports = {"CUSTODES_HTTP__PORT": "0", "CUSTODES_GRPC__PORT": str(holder.getsockname()[1])}
        done = run("serve", **ports, CUSTODES_DATA_DIR=str(tmp_path / "data"))
        holder.close()
        assert done.returncode == 3
        assert f"port {ports['CUSTODES_GRPC__PORT']} on 127.0.0.1 is in use" in only_line(done.stderr)
        assert "CUSTODES_GRPC__PORT" in done.stderr

    def test_it_names_an_unwritable_data_directory(self, tmp_path: Path) -> None:
        blocker = tmp_path / "file"
        blocker.write_text("not a folder")
        done = run("up", "--no-console", CUSTODES_HTTP__PORT="0", CUSTODES_DATA_DIR=str(blocker / "data"))
        assert done.returncode == 2
        assert "cannot be written" in only_line(done.stderr)
        assert "CUSTODES_DATA_DIR" in done.stderr

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("CUSTODES_HTTP__PORT", "seventy"),
            ("CUSTODES_HTTP__PROT", "4318"),
            ("CUSTODES_DATABASE__URL", "mysql://localhost/x"),
            ("CUSTODES_DATABASE__URL", "not a url"),
        ],
    )
    def test_it_names_a_bad_setting(self, tmp_path: Path, name: str, value: str) -> None:
        settings = {"CUSTODES_DATA_DIR": str(tmp_path / "data"), name: value}
        done = run("up", "--no-console", **settings)
        assert done.returncode == 2
        assert name in only_line(done.stderr)

    def test_it_names_an_unreachable_database(self, tmp_path: Path) -> None:
        url = "postgresql+psycopg://nobody:secret-word@127.0.0.1:1/nowhere"
        done = run("serve", CUSTODES_DATABASE__URL=url, CUSTODES_HTTP__PORT="0", CUSTODES_DATA_DIR=str(tmp_path))
        assert done.returncode == 3
        assert "database" in only_line(done.stderr)
        assert "secret-word" not in done.stderr

    def test_it_names_a_damaged_audit_key(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        assert run("db", "upgrade", CUSTODES_DATA_DIR=str(data)).returncode == 0
        assert run("audit", "checkpoint", CUSTODES_DATA_DIR=str(data)).returncode == 0
        key = data / "audit-log.key"
        key.write_text("rubbish")
        done = run("up", "--no-console", CUSTODES_HTTP__PORT="0", CUSTODES_DATA_DIR=str(data))
        assert done.returncode == 3
        assert "audit-log.key" in only_line(done.stderr)


class TestNothingThere:
    @pytest.mark.parametrize(
        "command",
        [("audit", "checkpoint"), ("audit", "prove", "0"), ("key", "list"), ("policy", "list"), ("endpoint", "list")],
    )
    def test_a_command_in_the_wrong_folder_says_so_and_leaves_nothing_behind(
        self, tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        data = tmp_path / "nothing-here"
        done = run(*command, CUSTODES_DATA_DIR=str(data))
        assert done.returncode == 2
        assert "no database at" in only_line(done.stderr)
        assert "custodes up" in done.stderr
        assert not data.exists()

    def test_doctor_says_so_and_leaves_nothing_behind(self, tmp_path: Path) -> None:
        data = tmp_path / "nothing-here"
        done = run("doctor", CUSTODES_DATA_DIR=str(data), CUSTODES_HTTP__PORT="1")
        assert "none yet at" in done.stdout
        assert not data.exists()


class TestUsage:
    def test_a_file_that_cannot_be_written_is_one_line(self, tmp_path: Path) -> None:
        source = tmp_path / "in.jsonl"
        source.write_text('{"id": "1", "prompt": "hi", "response": "hello", "contexts": []}\n')
        done = run("score", str(source), "--out", str(tmp_path / "missing" / "out.jsonl"))
        assert done.returncode == 2
        assert "No such file or directory" in only_line(done.stderr)

    def test_it_lists_every_command(self) -> None:
        done = run("--help")
        assert done.returncode == 0
        for name in ("up", "serve", "work", "console", "demo", "db", "key", "score", "policy", "audit", "doctor"):
            assert f"  {name} " in done.stdout

    def test_it_refuses_an_unknown_command_as_usage(self) -> None:
        assert run("explode").returncode == 2

    def test_it_names_line_field_and_nearest_name_of_a_policy_typo(self, tmp_path: Path) -> None:
        path = tmp_path / "policy.yaml"
        path.write_text(
            "apiVersion: custodes/v1\nkind: Policy\nid: typo\nowner: me@example.org\nseverity: high\n"
            "signals:\n  tox: {metric: toxicty, agg: p95, window: 15m}\nwhen: 'tox > 0.8'\n"
        )
        done = run("policy", "lint", str(path))
        assert done.returncode == 1
        assert f"{path}:7" in done.stdout
        assert "toxicity" in done.stdout
