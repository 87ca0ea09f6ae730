"""Importing a module does nothing: no file, socket, process or thread, and nothing built at module level."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

PACKAGES = (
    "custodes/", "collector/", "detectors/", "policies/", "recognisers/", "ui/", "sdk/custodes_sdk/", "training/",
    "bench/",
)  # fmt: skip
# Scripts that Streamlit runs from the top on every click; their imports are checked by test_importers.
SCRIPTS = ("ui/app.py", "ui/app_pages/", "bench/__main__.py")
HEAVY = ("torch", "transformers", "sentence_transformers", "numpy", "pandas", "streamlit", "evidently", "detoxify")

PROBE = """
import importlib, json, sys, threading

names = json.loads(sys.argv[1])
events = []
watching = None

def watch(event, arguments):
    if watching is None:
        return
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.system"):
        events.append(f"{watching}: {event}")
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        events.append(f"{watching}: writes {arguments[0]}")

sys.addaudithook(watch)
threads = set(threading.enumerate())
for name in names:
    watching = name
    importlib.import_module(name)
    fresh = set(threading.enumerate()) - threads
    if fresh:
        events.append(f"{name}: starts {sorted(one.name for one in fresh)}")
        threads |= fresh
watching = None

built = []
for name in names:
    for attribute, value in vars(sys.modules[name]).items():
        kinds = {f"{one.__module__.split('.')[0]}.{one.__name__}" for one in type(value).__mro__}
        hit = kinds & {
            "sqlalchemy.Engine", "sqlalchemy.Session", "pydantic_settings.BaseSettings", "custodes.Database",
            "custodes.Metrics", "fastapi.FastAPI", "httpx.Client", "httpx.AsyncClient",
            "threading.Thread", "concurrent.Executor", "torch.Module", "prometheus_client.Collector",
            "custodes_sdk.Client", "click.Context",
        }
        if hit:
            built.append(f"{name}.{attribute}: {sorted(hit)}")
        elif isinstance(value, (list, dict, set, bytearray)) and not attribute.startswith("__"):
            if attribute.lstrip("_") != attribute.lstrip("_").upper():
                built.append(f"{name}.{attribute}: a {type(value).__name__} that anyone can change")

print(json.dumps({"events": events, "built": built, "loaded": sorted(sys.modules)}))
"""


def module_names(sources: Mapping[str, ast.Module], packages: tuple[str, ...]) -> list[str]:
    paths = [name for name in sources if name.startswith(packages) and not name.startswith(SCRIPTS)]
    dotted = [name.removeprefix("sdk/").removesuffix(".py").replace("/", ".") for name in paths]
    return sorted(name.removesuffix(".__init__") for name in dotted)


def probe(root: Path, names: list[str]) -> dict[str, list[str]]:
    command = [sys.executable, "-B", "-W", "ignore", "-c", PROBE, json.dumps(names)]
    with tempfile.TemporaryDirectory() as home:
        # A home where nothing has been cached: what only the first import does is seen every time.
        fresh = {**os.environ, "HOME": home, "XDG_CACHE_HOME": home, "XDG_CONFIG_HOME": home, "MPLCONFIGDIR": home}
        done = subprocess.run(command, cwd=root, env=fresh, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return answer


class TestImporting:
    @pytest.mark.parametrize("package", PACKAGES)
    def test_it_has_no_side_effect(self, root: Path, sources: Mapping[str, ast.Module], package: str) -> None:
        names = module_names(sources, (package,))
        if not names:
            pytest.skip(f"{package} holds no module that is imported")
        seen = probe(root, names)
        assert seen["events"] == []
        assert seen["built"] == []

    @pytest.mark.parametrize(
        "package", ["custodes/kernel/", "custodes/db/", "custodes/cli/", "collector/", "policies/", "recognisers/"]
    )
    def test_it_stays_light(self, root: Path, sources: Mapping[str, ast.Module], package: str) -> None:
        loaded = {name.split(".")[0] for name in probe(root, module_names(sources, (package,)))["loaded"]}
        assert loaded & set(HEAVY) == set()

    def test_it_notices_what_a_module_does(self, root: Path, tmp_path: Path) -> None:
        noisy = (
            "import threading\nopen(__file__ + '.log', 'w').close()\n"
            "threading.Thread(target=threading.Event().wait, daemon=True, name='t').start()\nseen = {}\n"
        )
        (tmp_path / "noisy_module.py").write_text(noisy)
        seen = probe(tmp_path, ["noisy_module"])
        assert [event.split(": ")[1].split(" ")[0] for event in seen["events"]] == ["writes", "starts"]
        assert seen["built"] == ["noisy_module.seen: a dict that anyone can change"]
