"""`session-widgets s3`: the object store of this machine."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from session_widgets.cli.errors import errors_told

if TYPE_CHECKING:
    from session_widgets.workspaces.local_s3 import LocalS3

s3 = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Keep workspaces in an object store of this machine."
)
Keys = Annotated[bool, typer.Option("--show-keys", help="Print its keys too, as lines for a shell.")]


@s3.command()
def start(
    bucket: Annotated[str, typer.Argument(help="The bucket to create.")] = "sessions", show_keys: Keys = False
) -> None:
    """Start the store, if it does not run, and create a bucket. It runs until `stop`."""
    from session_widgets._sessions.embedded import local_s3

    with errors_told():
        store = local_s3(bucket)
        typer.echo(f"endpoint  {store.endpoint}\nbucket    {store.url}\nfiles     {store.place}")
        typer.echo(f'\nin a notebook:  sw.open_session("hello", workspace="{store.url}")')
        typer.echo(f"in a terminal:  session-widgets run --workspace {store.url} PROMPT")
        if not show_keys:
            return
        keys = store.credentials
        settings = {
            "AWS_ENDPOINT_URL_S3": store.endpoint,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        }
        typer.echo("\nfor other programs:")
        for name, value in settings.items():
            typer.echo(f"export {name}={shlex.quote(value)}")


@s3.command()
def status() -> None:
    """Report whether it runs, its address, and its buckets. Exit code 1 if it does not run."""
    store = _here()
    if not store.running:
        typer.echo(f"not running; its files are in {store.place}" if store.buckets else "never started")
        typer.echo("start it: session-widgets s3 start")
        raise typer.Exit(1)
    typer.echo(f"running at {store.endpoint}, files in {store.place}")
    for bucket in store.buckets:
        typer.echo(f"s3://{bucket}")


@s3.command()
def stop() -> None:
    """Stop it. Its files stay; a session that needs it starts it again."""
    store = _here()
    ran = store.running
    store.stop()
    typer.echo("stopped" if ran else "it did not run")


def _here() -> LocalS3:
    from session_widgets._store import store
    from session_widgets.workspaces.local_s3 import LocalS3

    return LocalS3(store().home)
