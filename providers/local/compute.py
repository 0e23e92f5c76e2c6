"""The instances of both slots: Compute, with processes as hosts."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from providers.base import SLOTS, Environment, Instance, Invalid, NotFound, Service, Size, Slot
from providers.local.files import locked
from providers.local.home import LOCK_S, Home, Homes
from providers.local.options import port_range, resolve_environment
from providers.local.processes import Start, free_port
from providers.local.records import Record
from providers.local.spec import Spec, from_manifest


class LocalCompute:
    """A write is in force when it returns. Stopping may take stop_timeout_s longer, for what will not end."""

    def __init__(self, homes: Homes) -> None:
        self._homes = homes

    def describe(self, service: Service) -> Mapping[Slot, Environment]:
        home = self._homes.of(service)
        if not home.exists:
            raise NotFound(f"service {home.name} was never stood up here; do that with: rollout up {home.name}")
        return {slot: self._environment(home, slot) for slot in SLOTS}

    def sizes(self, service: Service) -> Mapping[Slot, Size]:
        alive = [each.slot for each in observed(self._homes.of(service)) if each.state != "failed"]
        return {
            slot: Size(seen.exists, seen.capacity, seen.floor, alive.count(slot), seen.owner)
            for slot, seen in self.describe(service).items()
        }

    def observe(self, services: Sequence[Service]) -> Mapping[str, Sequence[Instance]]:
        return {service.name: observed(self._homes.of(service)) for service in services}

    def stand_up(self, service: Service, slot: Slot, image: str, capacity: int, token: str) -> None:
        """Builds the image if needed (seconds to minutes), starts instances and balancer, routes to them."""
        home, options = self._homes.of(service), self._homes.options(service)
        if capacity < 1:
            raise Invalid(f"service {home.name}: {capacity} instances cannot serve; 1 or more can")
        if home.builds.manifest(image) is None:
            home.builds.build(self._homes.images(service).find(image))
        with home.locked():
            standing = [name for name in SLOTS if home.spec(name) is not None]
            if standing and home.front.exists and not home.tokens.known(token):
                raise Invalid(f"service {home.name}: {standing[0]} stands already; mirror it instead")
            write = home.tokens.begin(token, "stand_up", slot, image, capacity)
            if not write["done"]:
                manifest = home.builds.manifest(image) or {}
                spec = replace(Spec.first(options, image, manifest), capacity=capacity)
                home.write(slot, spec)
                self._launch(home, slot, spec, token)
                addresses = [record.address for record in home.records.all(slot)]
                home.front.create(options, slot, addresses, self._homes.context.fleet_dir)
                home.tokens.finish(token)
        home.front.begin(slot, token)

    def mirror(self, service: Service, source: Slot, into: Slot, image: str, owner: str, token: str) -> None:
        home = self._homes.of(service)
        original = home.need(source)
        manifest = home.builds.manifest(image) or self._homes.images(service).find(image).manifest
        if source == into:
            raise Invalid(f"service {home.name}: {into} cannot be a mirror of itself")
        home.front.raise_if_serving(into, "made a mirror")
        with home.locked():
            if home.tokens.begin(token, "mirror", into, source, image, owner)["done"]:
                return
            present = home.spec(into)
            kept = present.owner if present is not None else owner
            copy = replace(original, image=image, capacity=0, floor=0, owner=kept, **from_manifest(manifest))
            home.write(into, copy)
            self._begin_stop(home, home.records.all(into))
        self._end_stop(home, into, copy, token)

    def set_floor(self, service: Service, slot: Slot, floor: int, token: str) -> None:
        """A floor above the capacity raises the capacity."""
        home = self._homes.of(service)
        home.need(slot)
        with home.locked():
            if not home.tokens.begin(token, "set_floor", slot, _count(floor))["done"]:
                spec = home.need(slot)
                spec = replace(spec, floor=floor, capacity=max(floor, spec.capacity))
                # Written only now: who is killed here has not declared a capacity that nobody started.
                self._launch(home, slot, spec, token)
                home.write(slot, spec)
                home.tokens.finish(token)

    def scale(self, service: Service, slot: Slot, capacity: int, token: str) -> None:
        """Starts what is missing or failed, or stops the newest. The image has to be built (Patcher.apply)."""
        home = self._homes.of(service)
        home.need(slot)
        with home.locked():
            spec = home.need(slot)
            write = home.tokens.begin(token, "scale", slot, _count(capacity))
            if write["done"]:
                return
            if capacity < spec.floor:
                raise Invalid(f"service {home.name}: {slot} has a floor of {spec.floor}; {capacity} is below it")
            spec = replace(spec, capacity=capacity)
            surplus = self._failed(home, slot, token)
            surplus += [record for record in home.records.all(slot) if record not in surplus][capacity:]
            self._begin_stop(home, surplus)
            self._launch(home, slot, spec, token)
            home.write(slot, spec)
        self._end_stop(home, slot, spec, token)

    def park(self, service: Service, slot: Slot, token: str) -> None:
        home = self._homes.of(service)
        home.need(slot)
        with home.locked():
            spec = home.need(slot)
            if home.tokens.begin(token, "park", slot)["done"]:
                return
            home.change(slot, spec, capacity=0, floor=0)
            self._begin_stop(home, home.records.all(slot))
        self._end_stop(home, slot, spec, token)

    def delete_if_owned(self, service: Service, slot: Slot, owner: str, token: str) -> bool:
        home = self._homes.of(service)
        if not home.exists:
            return False
        with home.locked():
            write = home.tokens.begin(token, "delete_if_owned", slot, owner)
            spec = home.spec(slot)
            if write["done"]:
                return bool(write["result"])
            if spec is None or spec.owner != owner:
                home.tokens.finish(token, False)
                return False
            home.front.raise_if_serving(slot, "deleted")
            self._begin_stop(home, home.records.all(slot))
        return self._end_stop(home, slot, spec, token, delete=True)

    def replace(self, service: Service, slot: Slot, image: str | None, token: str) -> None:
        """Start the slot's instances anew, from another image when one is given; with that image they stay."""
        home = self._homes.of(service)
        with home.locked():
            spec = home.need(slot)
            if home.tokens.begin(token, "replace", slot, image)["done"]:
                return
            outdated = [r for r in home.records.all(slot) if image is None or r.image != image]
            outdated = [record for record in outdated if record.token != token]
            if image is not None and image != spec.image:
                spec = replace(spec, image=image, **from_manifest(home.builds.manifest(image) or {}))
                home.write(slot, spec)
            self._begin_stop(home, outdated)
            self._launch(home, slot, spec, token)
        self._end_stop(home, slot, spec, token)

    def _environment(self, home: Home, slot: Slot) -> Environment:
        spec = home.spec(slot)
        if spec is None:
            return Environment(slot)
        live = [home.processes.find(record) for record in home.records.all(slot)]
        return spec.environment_of(slot, [process for process in live if process is not None])

    def _launch(self, home: Home, slot: Slot, spec: Spec, token: str) -> None:
        """Start what is missing. Under the lock; the record is written first, so that nothing is ever lost."""
        present = [record for record in home.records.all(slot) if not record.stopping]
        for record in present:
            if record.identity is None and not record.problem and home.processes.find(record) is None:
                home.records.remove(record)  # its start was interrupted before there was a process
                present.remove(record)
        missing = spec.capacity - len(present)
        if missing <= 0:
            return
        if home.builds.manifest(spec.image) is None:
            raise Invalid(f"service {home.name}: {spec.image} is not built; apply the patch to {slot} first")
        variables = resolve_environment(spec.environment, self._homes.context.fleet_dir)
        home.front.keep_off(slot)
        for _ in range(missing):
            record = self._new_record(home, slot, spec, token)
            argv = home.builds.argv(spec.image, spec.command, record.port)
            cwd = home.folder / "work" / record.id
            home.processes.start(record, Start(argv, variables, cwd, spec.umask, spec.nofile))

    def _new_record(self, home: Home, slot: Slot, spec: Spec, token: str) -> Record:
        with locked(home.root / "ports.lock", home.clock, LOCK_S, "another process is choosing ports"):
            ports = port_range(spec.ports)
            # Fleets with the same range begin at different places, so that they rarely race for a port.
            start = zlib.crc32(str(home.root).encode()) % len(ports)
            port = free_port(ports, home.ports_in_use(), start)
            name = f"{home.name}-{slot}-{secrets.token_hex(4)}"
            record = Record(name, slot, port, spec.image, token, home.clock.now(), listens=spec.listens)
            home.records.write(record)
            return record

    def _failed(self, home: Home, slot: Slot, token: str) -> list[Record]:
        """Instances of earlier writes that are dead or being stopped, and those of another image."""
        spec, found = home.need(slot), home.records.all(slot)
        return [
            record
            for record in found
            if record.stopping
            or record.image != spec.image
            or (record.token != token and home.processes.find(record) is None)
        ]

    def _begin_stop(self, home: Home, records: Sequence[Record]) -> None:
        for record in records:
            home.records.write(replace(record, stopping=True))
        home.processes.terminate(records)

    def _end_stop(self, home: Home, slot: Slot, spec: Spec, token: str, delete: bool = False) -> bool:
        """Wait without the lock, for others may have to act meanwhile; then forget what is gone.

        False where a side was to be deleted and is another one by now.
        """
        stopping = [record for record in home.records.all(slot) if record.stopping]
        home.processes.wait_or_kill(stopping, spec.stop_timeout_s)
        with home.locked():
            for record in stopping:
                home.forget(record)
            if delete:
                delete = home.spec(slot) in (spec, None)  # somebody may have made something new of it meanwhile
                if delete:
                    home.remove(slot)
                home.tokens.finish(token, delete)
                return delete
            home.tokens.finish(token, None)
            return True


def observed(home: Home) -> list[Instance]:
    """All instances of one service as they are."""
    found = []
    for record in home.records.all():
        busy = record.identity is None and home.busy
        current = home.records.read(record.id)  # again, for its starter may have finished in between
        if current is None or (current.stopping and home.processes.find(current) is None):
            continue  # it ended as it was asked to; who asked may have been killed before forgetting it
        found.append(home.processes.observe(current, starting=busy))
    return found


def _count(number: int) -> int:
    if number < 0:
        raise Invalid(f"{number} instances cannot be; 0 or more can")
    return number
