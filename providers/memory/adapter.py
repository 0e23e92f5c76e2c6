"""`provider: memory`: a service in a simulated cloud, to try the program out and to measure it.

Each service stands from the first moment: blue serves `image`; the other images are there to be rolled out. The
cloud lives in one process and ends with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from providers.base import Context, Invalid, Provider, Service

from .cloud import SimCloud
from .compute import MemoryCompute
from .insight import Knowledge, MemoryInsight
from .model import Image, ImageBehaviour, Settings
from .patches import MemoryInventory, MemoryPatcher
from .traffic import MemoryTraffic


@dataclass(frozen=True)
class ImageOptions:
    """One image and how its instances behave; the default is a good one."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    packages: tuple[str, ...] = ()
    app_version: str | None = None
    reboot_needed: bool = False
    starts: bool = True
    healthy: bool = True
    fails_health_under_traffic: bool = False
    flaps_every_s: float = 0.0
    error_share_live: float = 0.0
    failed_share_live: float = 0.0

    def image(self, id: str) -> Image:
        behaviour = ImageBehaviour(**{f.name: getattr(self, f.name) for f in fields(ImageBehaviour)})
        return Image(id, tuple(self.packages), behaviour, self.app_version, self.reboot_needed)


def _examples() -> Mapping[str, ImageOptions]:
    """An image with a known hole, the one that closes it, and one that breaks under traffic."""
    return {
        "base-1": ImageOptions(("pkg:pypi/werkzeug@2.2.2", "pkg:pypi/urllib3@1.26.17")),
        "base-2": ImageOptions(("pkg:pypi/werkzeug@2.2.3", "pkg:pypi/urllib3@1.26.18")),
        "base-broken": ImageOptions(("pkg:pypi/werkzeug@2.2.3",), error_share_live=0.2),
    }


@dataclass(frozen=True)
class Options:
    """A simulated service. Times are in seconds."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    image: str = "base-1"
    capacity: int = 3
    permanent: bool = False
    """Both slots are the user's, rather than one of them made on demand."""
    launch_s: float = 0.2
    health_lag_s: float = 0.1
    balancer_lag_s: float = 0.05
    drain_s: float = 1.0
    requests_per_s: float = 200.0
    connections: int = 20
    self_healing: bool = True
    images: Mapping[str, ImageOptions] = field(default_factory=_examples)
    account: str = ""
    region: str = ""
    zone: str = ""
    """Where it is said to be; nothing else hangs on it."""

    @classmethod
    def from_plain(cls, options: Mapping[str, Any]) -> Options:
        """From what this class once accepted and was then kept as plain data."""
        images = options.get("images")
        if images is None:
            return cls(**options)
        typed = {
            name: value if isinstance(value, ImageOptions) else ImageOptions(**(value or {}))
            for name, value in images.items()
        }
        return cls(**{**options, "images": typed})

    def settings(self) -> Settings:
        chosen = asdict(self)
        return Settings(**{f.name: chosen[f.name] for f in fields(Settings) if f.name in chosen})


def shares_images(reference: str) -> bool:
    """All services here are in one cloud, which knows each image by one name."""
    return True


def build(context: Context) -> Provider:
    """One simulated cloud, in which services come to be when they are first named."""

    def provision(service: Service) -> None:
        options = Options.from_plain(service.options)
        for name, described in options.images.items():
            image = described.image(name)
            if cloud.images.setdefault(name, image) != image:
                raise Invalid(f"{service.name}: image {name} is described differently by another service")
        cloud.add_service(
            service.name,
            image=options.image,
            capacity=options.capacity,
            permanent=options.permanent,
            settings=options.settings(),
        )

    cloud = SimCloud(context.clock, provision=provision)
    return provider_for(cloud)


def provider_for(cloud: SimCloud, knowledge: Knowledge | None = None) -> Provider:
    """The contracts of a cloud that is already there, and what it is to know beyond them."""
    known = knowledge or Knowledge()
    return Provider(
        name="memory",
        compute=MemoryCompute(cloud),
        traffic=MemoryTraffic(cloud),
        patcher=MemoryPatcher(cloud),
        inventory=MemoryInventory(cloud),
        write_timeout_s=cloud.write_timeout_s,
        insight=MemoryInsight(cloud, known),
        way_back_lacks=lambda service, slot, image: cloud.read(
            "way_back_lacks", service, lambda svc: tuple(known.lacking), slot, image
        ),
    )
