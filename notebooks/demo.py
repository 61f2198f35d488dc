"""The first notebook's story in the terminal, then the notebook itself: `make demo`."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path

import session_widgets as sw
from rich.console import Console
from session_widgets.cli.run import run_turn

NOTEBOOK = Path(__file__).with_name("01_first_session.ipynb")
PROMPT = """\
plan write a program; run it
write primes.py <<EOT
limit = 30
print([n for n in range(2, limit) if all(n % k for k in range(2, n))])
EOT
run python primes.py
say The program is in the workspace, and it works."""
QUERY = "select seq, direction, method, kind from v_events where session_id = ? order by seq desc limit 3"


def in_the_terminal() -> None:
    """Run one session and look at its transcript; leaves no process behind."""
    console = Console(highlight=False, markup=False)
    session = sw.open_session(f"demo-{datetime.now():%Y%m%d-%H%M%S}", permissions="allow_all", title="make demo")
    console.print(f"A session with the harness 'demo': an agent without a model. It works in\n{session.workspace}\n")
    console.print("You:\n" + PROMPT + "\n", style="cyan")
    console.print("Agent:")
    run_turn(session, PROMPT, console)
    console.print("\nIts files:", ", ".join(file.path for file in session.files.list()))
    console.print("\nThe last three of its events in DuckDB:")
    console.print(sw.store().sql(QUERY, [session.id]).df().to_string(index=False))
    session.park()


def in_the_notebook() -> int:
    """Serve the notebook on this machine until Ctrl-C."""
    port, token = _free_port(), secrets.token_urlsafe(24)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.root_dir={NOTEBOOK.parent}"]
    command += [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--log-level=WARN",
    ]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    if os.geteuid() == 0:
        command.append("--allow-root")
    server = subprocess.Popen(command, env=os.environ | {"JUPYTER_TOKEN": token})
    try:
        _wait_until_it_answers(server, f"http://127.0.0.1:{port}/api")
        print(
            f"\nThe same in JupyterLab, with the panel:\n\n  http://127.0.0.1:{port}/lab/tree/{NOTEBOOK.name}?token={token}\n"
        )
        print("Ctrl-C stops it.", flush=True)
        return server.wait()
    except KeyboardInterrupt:
        server.terminate()
        server.wait()
        return 0


def _wait_until_it_answers(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"JupyterLab ended with code {server.returncode}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    server.kill()
    sys.exit("JupyterLab did not answer within 60 s")


def _free_port() -> int:
    for port in (8888, 8889, 8890, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("port 0 always binds")


if __name__ == "__main__":
    in_the_terminal()
    sys.exit(0 if "--no-lab" in sys.argv[1:] else in_the_notebook())
