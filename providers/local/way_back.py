"""What an earlier side needs to serve again, and lacks: its slot, its built image, and the environment in it."""

from __future__ import annotations

from providers.base import Service, Slot
from providers.local.home import Homes


def lacks(homes: Homes, service: Service, slot: Slot, image: str) -> list[str]:
    """In words, with what is gone by name; empty where all of it is there."""
    home = homes.of(service)
    spec = home.spec(slot)
    if spec is None:
        return [f"nothing is in the {slot} slot any more"]
    found = [] if spec.image == image else [f"{slot} holds {spec.image} now, not {image}"]
    folder = home.builds.path(spec.image)
    if home.builds.manifest(spec.image) is None:
        found.append(f"the built image {folder} is gone or damaged: no process can be replaced")
    elif not home.builds.python(spec.image).exists():
        found.append(f"the environment {folder / 'env'} is gone: no process can be replaced")
    return found
