"""Patches are images: a lock with newer packages under the same command and files."""

from __future__ import annotations

import hashlib

from providers.base import Applied, Invalid, NotFound, Patch, Service, Slot
from providers.local.compute import LocalCompute
from providers.local.home import Homes
from providers.local.images import Source, checked_digest, python_tag

MEMBER = "local"


class LocalPatcher:
    def __init__(self, homes: Homes, compute: LocalCompute) -> None:
        self._homes, self._compute = homes, compute

    def resolve(self, service: Service, reference: str) -> Patch:
        """An image by name, or by its full digest. Raises NotFound naming the known ones, Invalid."""
        images = self._homes.images(service)
        if reference.startswith("sha256:"):
            built = self._homes.of(service).builds.manifest(checked_digest(reference))
            if built is not None:
                origin = {"name": built["name"], "lock": f"sha256:{built['lock']}", "python": built["python"]}
                return Patch(reference, {MEMBER: reference}, origin)
            source = images.find(reference)
        else:
            source = images.load(reference)
        return Patch(reference, {MEMBER: source.digest}, _provenance(source))

    def apply(self, service: Service, slot: Slot, patch: Patch, token: str) -> Applied:
        """Build the image (seconds to minutes) and make it the slot's. Raises Invalid, NotFound, Transient."""
        home = self._homes.of(service)
        home.need(slot)
        home.front.raise_if_serving(slot, "patched")
        if home.builds.manifest(patch.image) is None:
            home.builds.build(self._planned(service, patch))
        self._compute.replace(service, slot, patch.image, token)
        return Applied(reboot_needed=False, evidence={"image": patch.image})

    def reboot(self, service: Service, slot: Slot, token: str) -> None:
        """Start every instance of the slot anew."""
        home = self._homes.of(service)
        home.need(slot)
        home.front.raise_if_serving(slot, "rebooted")
        self._compute.replace(service, slot, None, token)

    def _planned(self, service: Service, patch: Patch) -> Source:
        images = self._homes.images(service)
        name = patch.provenance.get("name", patch.reference)
        try:
            return images.find(patch.image)
        except NotFound:
            if name not in images.names():
                raise
        now = images.load(name).digest
        raise Invalid(f"image {name} changed since it was planned ({patch.image} → {now}); plan again")


def _provenance(source: Source) -> dict[str, str]:
    lock = hashlib.sha256(source.lock).hexdigest()
    return {"name": source.name, "lock": f"sha256:{lock}", "python": python_tag()}
