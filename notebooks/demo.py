"""The first notebook's story in the terminal, then the notebook itself: `make demo`."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

import session_widgets as sw
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
QUERY = """
    select step, kind, status, left(split_part(coalesce(title, text, ''), chr(10), 1), 50) as what
    from v_steps where session_id = ? order by step"""


def in_the_terminal() -> str:
    """Run one session, look at its transcript, leave no process behind; return how the turn ended."""
    console = Console(highlight=False, markup=False)
    session = sw.open_session(f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}", permissions="allow_all", title="make demo")
    console.print(f"A session with the harness 'demo': an agent without a model. It works in\n{session.workspace}\n")
    console.print("You:\n" + PROMPT + "\n", style="cyan")
    console.print("Agent:")
    turn = run_turn(session, PROMPT, console)
    for file in turn.files:
        console.print(f"\nThe file that it made, {file.path}:\n{session.files.read_text(file.path)}")
    console.print("\nIts transcript in DuckDB:")
    console.print(sw.store().sql(QUERY, [session.id]).df().to_string(index=False))
    console.print("\nsession-widgets is a command of .venv: source .venv/bin/activate")
    session.park()
    return turn.status


def in_the_notebook() -> None:
    """Serve the notebook on this machine until Ctrl-C."""
    port, token, log = _free_port(), secrets.token_urlsafe(24), sw.store().path.with_name("jupyterlab.log")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.root_dir={NOTEBOOK.parent}"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    if os.geteuid() == 0:
        command.append("--allow-root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends with this process
    with log.open("wb") as output:
        environment = os.environ | {"JUPYTER_TOKEN": token}
        server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        _wait_until_it_answers(server, f"http://127.0.0.1:{port}/api", log)
        print("\nThe same in JupyterLab, with the panel:\n")
        print(f"  http://127.0.0.1:{port}/lab/tree/{NOTEBOOK.name}?token={token}\n")
        print(f"Ctrl-C stops it. Its log is {log}", flush=True)
        server.wait()
    except KeyboardInterrupt:
        print()
    finally:
        server.terminate()
        server.wait()


def _wait_until_it_answers(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"JupyterLab ended with code {server.returncode}; its log is {log}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit(f"JupyterLab did not answer within 60 s; its log is {log}")


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
    if in_the_terminal() != "completed":
        sys.exit(1)
    if "--no-lab" not in sys.argv[1:]:
        in_the_notebook()
