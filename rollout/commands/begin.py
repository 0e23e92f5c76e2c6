"""init: a first fleet file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rollout.commands.options import Json
from rollout.render import Screen

commands = typer.Typer()


@commands.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where; it is made if needed.")] = Path(),
    service: Annotated[
        str, typer.Option("--service", metavar="NAME", help="What the first service is called.")
    ] = "web",
    schema: Annotated[
        bool, typer.Option("--schema", help="Only print the JSON Schema of fleet files; nothing is written.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Write a commented fleet file, its JSON Schema, and a first image that runs as it is."""
    if schema:
        from rollout.fleetfile.schema import fleet_schema, schema_text

        Screen(as_json=json_out).document(fleet_schema(), schema_text().removesuffix("\n"))
        return
    from rollout.starter import begin

    begun = begin(folder, service)
    written = [str(path) for path in begun.files]
    document = {
        "folder": str(begun.folder),
        "service": service,
        "written": written,
        "next": list(begun.commands),
    }
    text = "\n".join([*(f"wrote {path}" for path in written), "next:", *(f"  {each}" for each in begun.commands)])
    Screen(as_json=json_out).document(document, text)
