"""The fleet file as typed models: what there is to set, what is allowed, and what holds when nothing is said.

`load` reads a file; whatever is wrong with it arrives together, as SettingsErrors that name file, line and key.
Nothing in a file is ever evaluated: ${…} and {{…}} are text. Attributes carry their unit (`soak_s`); in the file the
key is plain (`soak: 60s`). Every model turns into plain JSON data with `model_dump(mode="json")`. The commented
example is config/fleet.example.yaml, the JSON Schema config/fleet.schema.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from rollout import state_dir
from rollout.fleetfile.campaigns import CampaignSettings
from rollout.fleetfile.catalogue import Catalogue, Shipped
from rollout.fleetfile.document import Document, parse, read
from rollout.fleetfile.drills import Drills
from rollout.fleetfile.explain import Finding, findings, refused
from rollout.fleetfile.fleetwide import Keep, Notify, Policy, Serve
from rollout.fleetfile.normalise import Normalised
from rollout.fleetfile.problems import SERVICE_NAME, SettingsError, SettingsErrors, nearest
from rollout.fleetfile.service import CheckSpec, GateName, ServiceSettings
from rollout.fleetfile.values import Folder, Name, Settings, StoreAddress
from rollout.fleetfile.waves import problems as problems_of_campaigns

__all__ = [
    "CheckSpec",
    "Fleet",
    "GateName",
    "ServiceSettings",
    "SettingsError",
    "SettingsErrors",
    "load",
    "nearest",
    "parse_fleet",
]


def _at_least_one(services: dict[str, ServiceSettings]) -> dict[str, ServiceSettings]:
    if not services:
        raise refused(allowed="at least one service")
    return services


def _whole(version: Any) -> Any:
    if type(version) is not int:  # true and 1.0 equal 1
        raise refused(allowed="1")
    return version


class Fleet(Settings):
    """A whole fleet file. `state`, a folder relative to it, keeps the store (rollout.db), cards and local services."""

    also_keys: ClassVar[tuple[str, ...]] = ("defaults",)  # laid under each service before the models read it

    version: Annotated[Literal[1], BeforeValidator(_whole)] = Field(
        description="1", json_schema_extra={"description": "Of this format: 1."}
    )
    state: Folder = Field(
        default=state_dir.DEFAULT_STATE,
        description="Where the store, rollback cards and local environments are kept; on one line of its own.",
    )
    store: StoreAddress | None = Field(
        default=None,
        description="PostgreSQL, for many machines (default: rollout.db in the state folder); on one line of its own.",
    )
    services: Annotated[dict[Name, ServiceSettings], AfterValidator(_at_least_one)] = Field(
        description="a mapping from names to services",
        json_schema_extra={"minProperties": 1, "propertyNames": {"pattern": f"^{SERVICE_NAME}$"}},
    )
    policy: Policy = Policy()
    notify: Notify = Notify()
    keep: Keep = Keep()
    serve: Serve = Serve()
    drills: Drills = Drills()
    campaigns: dict[Name, CampaignSettings] = Field(
        default_factory=dict,
        description="Waves of services, patched one after the other: rollout wave plan|start|status NAME.",
        json_schema_extra={"propertyNames": {"pattern": f"^{SERVICE_NAME}$"}},
    )


def load(path: Path, catalogue: Catalogue | None = None) -> Fleet:
    """The fleet that a file describes. Raises SettingsErrors with everything that is wrong with it."""
    return _fleet(read(path), catalogue or Shipped())


def parse_fleet(raw: bytes, path: Path, catalogue: Catalogue | None = None) -> Fleet:
    """The same from memory; `path` names it in messages, and relative paths are relative to its folder."""
    return _fleet(parse(raw, path), catalogue or Shipped())


def _fleet(document: Document, catalogue: Catalogue) -> Fleet:
    normalised = Normalised(document, catalogue)
    errors = list(normalised.errors)
    if isinstance(document.data, dict):
        errors += [normalised.error_of(found) for found in _misread(document)]
        try:
            fleet = Fleet.model_validate_json(json.dumps(normalised.data), strict=True)
        except ValidationError as error:
            errors += [normalised.error_of(found) for found in findings(error, Fleet, normalised.data)]
    if not errors:
        errors = [normalised.error_of(found) for found in problems_of_campaigns(fleet, catalogue)]
    if errors:
        raise SettingsErrors(errors)
    return fleet


def _misread(document: Document) -> list[Finding]:
    """`rollout rollback` finds state folder and store without YAML: what it would find has to be what YAML says."""
    readers: dict[str, tuple[Callable[[str], Any], Any, str]] = {
        "state": (state_dir.written_state, str, state_dir.ALLOWED_STATE),
        "store": (state_dir.written_store, str | dict | None, state_dir.ALLOWED_STORE),
    }
    found = []
    seen = document.text.encode()[: state_dir.GLANCED_BYTES - 3].decode(errors="ignore")  # 3: a mark at its begin
    for key, (read_at_a_glance, kind, allowed) in readers.items():
        written = document.data.get(key)
        try:
            if read_at_a_glance(document.text) == read_at_a_glance(seen) == written:
                continue
        except state_dir.StateUnreadable:
            pass
        if key not in document.data or isinstance(written, kind):  # else the model says so
            far = len(seen) < len(document.text)
            allowed += "; within the first MiB of the file" if far else ""
            found.append(Finding((key,), problem="cannot be read at a glance", allowed=allowed))
    return found
