"""One JupyterLab server that shares nothing with the machine's own Jupyter."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil

from tests.support import needs
from tests.support.waiting import until

OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}

CONFIG = """
c = get_config()
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
c.ServerApp.root_dir = {notebooks!r}
c.ServerApp.jpserver_extensions = {{"jupyter_lsp": False, "jupyter_server_terminals": False}}
c.IdentityProvider.token = ""
c.ServerApp.password = ""
c.ServerApp.disable_check_xsrf = True
c.LabApp.app_settings_dir = {settings!r}
c.LabApp.workspaces_dir = {workspaces!r}
c.LabApp.expose_app_in_browser = True
"""


class LabServer:
    """A running server.

    Args:
        place: an empty directory for everything that it and its kernels keep.

    Attributes:
        url: where it answers.
        notebooks: the directory that it serves.
        home: SESSION_WIDGETS_HOME of its kernels.
    """

    def __init__(self, place: Path) -> None:
        self.notebooks, self.home = place / "notebooks", place / "home"
        self._log = place / "server.log"
        folders = {name: place / name for name in ("settings", "workspaces", "config", "data", "runtime", "user")}
        for folder in (self.notebooks, *folders.values()):
            folder.mkdir()
        (folders["settings"] / "overrides.json").write_text(json.dumps(OVERRIDES))
        config = place / "config.py"
        config.write_text(
            CONFIG.format(
                notebooks=str(self.notebooks),
                settings=str(folders["settings"]),
                workspaces=str(folders["workspaces"]),
            )
        )
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        own = {
            "HOME": folders["user"],
            "JUPYTER_CONFIG_DIR": folders["config"],
            "JUPYTER_DATA_DIR": folders["data"],
            "JUPYTER_RUNTIME_DIR": folders["runtime"],
            "IPYTHONDIR": folders["user"] / "ipython",
            "JUPYTER_PATH": needs.KERNELS,
            "SESSION_WIDGETS_HOME": self.home,
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", f"--config={config}", f"--port={port}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=place,
                env=os.environ | {name: str(value) for name, value in own.items()},
            )
        until(self._answers, seconds=30, what="an answer of the JupyterLab server")

    def stop(self) -> None:
        """End the server and with it every kernel that a test left; one that a test broke may refuse to go."""
        kernels = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            for process in (*kernels, self._process):
                process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(
                f"JupyterLab ended with code {self._process.returncode}:\n{self._log.read_text()[-3000:]}"
            )
        try:
            with urllib.request.urlopen(f"{self.url}/api/status", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
