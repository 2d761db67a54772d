"""``db upgrade``: the service as its operator sees it."""

from __future__ import annotations

import typer

from tuner.cli.options import DEFAULT_STORAGE, Json, StorageUrl
from tuner.cli.output import show_json

db = typer.Typer(
    name="db", no_args_is_help=True, help="Look after the database.", rich_markup_mode=None
)


@db.callback()
def _db() -> None:
    pass


@db.command()
def upgrade(storage: StorageUrl = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Bring the tables of an older tuner or Optuna to this version."""
    from tuner.storage.opening import upgrade as bring

    done = bring(storage)
    if as_json:
        return show_json(done._asdict())
    if done.changed:
        return typer.echo(f"upgraded: {done}")
    return typer.echo(f"nothing to do: {done}")
