"""The console process: Streamlit in this very process, or as a child of ``custodes up``."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib import import_module
from importlib.util import find_spec

from custodes.kernel.errors import ConfigurationError
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.settings import Settings, child_environment, settings_to_environment
from custodes.runtime.ports import check_port_free

log = get_logger("console")


def run_console(settings: Settings, *, exit_with_parent: bool = False) -> None:
    """Serve the console until the process ends.

    With ``exit_with_parent`` the process ends itself when its parent is gone, so that a killed
    ``custodes up`` leaves no console behind to hold the port.
    """
    if find_spec("streamlit") is None or find_spec("custodes_sdk") is None:
        raise ConfigurationError("the console needs its packages: pip install 'custodes[console]'")
    check_port_free(settings.console.host, settings.console.port, "CUSTODES_CONSOLE__PORT")
    launch = import_module("ui.launch")
    arguments: list[str] = launch.streamlit_arguments(settings.console.host, settings.console.port, settings.api_url)
    if exit_with_parent:
        threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()
    main = import_module("streamlit.web.cli").main
    sys.argv = ["streamlit", *arguments]
    main(args=arguments, standalone_mode=False)


class ConsoleChild:
    """The console as a child process, watched."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def start(self) -> None:
        """Start the child; a thread reports it when it ends by itself."""
        check_port_free(self._settings.console.host, self._settings.console.port, "CUSTODES_CONSOLE__PORT")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "custodes", "console", "--exit-with-parent"],
            env=child_environment(settings_to_environment(self._settings)),
            stdin=subprocess.DEVNULL,
        )
        threading.Thread(target=self._watch, name="custodes-console-watch", daemon=True).start()

    def stop(self) -> None:
        """End the child, politely first."""
        self._stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _watch(self) -> None:
        assert self._process is not None
        code = self._process.wait()
        if not self._stopping:
            log.error("the console ended by itself; traffic is still taken and scored", extra=fields(exit_code=code))


def _watch_parent(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(1.0)
    os._exit(0)
