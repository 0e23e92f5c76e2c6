"""Where all of one service is kept, <state>/local/services/<name>/, and the one lock for its writers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from providers.base import Clock, Context, Invalid, NotFound, Service, Slot
from providers.local.builds import Builds
from providers.local.files import is_locked, locked, read_json, write_json
from providers.local.front import Front
from providers.local.images import ImageFolder
from providers.local.options import Options
from providers.local.processes import Processes
from providers.local.records import Record, Records
from providers.local.spec import Spec
from providers.local.tokens import Tokens

LOCK_S = 0.5
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class Home:
    """One service on this machine. Lives as long as its provider, so that ended children are reaped."""

    def __init__(self, context: Context, name: str) -> None:
        if not NAME.fullmatch(name):
            raise Invalid(f"service {name!r}: letters, digits, _ . and - are allowed, at most 63 in all")
        self.name = name
        self.root = context.state_dir.resolve() / "local"
        self.folder = self.root / "services" / name
        self.balancer = self.folder / "balancer"
        self.front = Front(name, self.balancer, context.clock)
        self.clock: Clock = context.clock
        self.builds = Builds(self.root, context.clock)
        self.records = Records(self.folder / "instances")
        self.processes = Processes(self.records, self.builds, f"{name}@{self.root}", context.clock)
        self.tokens = Tokens(self.folder / "tokens.json")

    @property
    def exists(self) -> bool:
        return self.folder.is_dir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For whoever changes something. Raises Transient while another process does."""
        complaint = f"service {self.name}: another process is changing its instances"
        with locked(self.folder / "lock", self.clock, LOCK_S, complaint):
            yield

    @property
    def busy(self) -> bool:
        return is_locked(self.folder / "lock")

    def spec(self, slot: Slot) -> Spec | None:
        data = read_json(self.folder / "slots" / f"{slot}.json")
        return None if data is None else Spec.from_json(data)

    def need(self, slot: Slot) -> Spec:
        """Raises NotFound."""
        spec = self.spec(slot)
        if spec is None:
            raise NotFound(f"service {self.name} has nothing in its {slot} slot")
        return spec

    def write(self, slot: Slot, spec: Spec) -> None:
        write_json(self.folder / "slots" / f"{slot}.json", spec.to_json())

    def change(self, slot: Slot, spec: Spec, **values: int) -> Spec:
        changed = replace(spec, **values)  # type: ignore[arg-type]  # capacity and floor only
        self.write(slot, changed)
        return changed

    def forget(self, record: Record) -> None:
        """Remove what is left of an instance whose process is gone."""
        shutil.rmtree(self.folder / "work" / record.id, ignore_errors=True)
        self.records.remove(record)

    def remove(self, slot: Slot) -> None:
        (self.folder / "slots" / f"{slot}.json").unlink(missing_ok=True)

    def ports_in_use(self) -> set[int]:
        """The ports of all instances and targets of this state folder."""
        used: set[int] = set()
        for folder in (self.root / "services").glob("*"):
            used |= {record.port for record in Records(folder / "instances").all()}
            # A target that was not detached would otherwise become another slot's instance.
            used |= Front(folder.name, folder / "balancer", self.clock).target_ports()
        return used


class Homes:
    """The services of one provider, by name."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._homes: dict[str, Home] = {}

    def of(self, service: Service) -> Home:
        if service.name not in self._homes:
            self._homes[service.name] = Home(self.context, service.name)
        return self._homes[service.name]

    def options(self, service: Service) -> Options:
        """Raises Invalid."""
        try:
            return Options(**service.options)
        except (TypeError, ValueError) as error:
            raise Invalid(f"service {service.name}: options: {error}") from None

    def images(self, service: Service) -> ImageFolder:
        options = self.options(service)
        return ImageFolder(self.path(options.images), port=options.switch is None)

    def path(self, text: str) -> Path:
        return self.context.fleet_dir / text
