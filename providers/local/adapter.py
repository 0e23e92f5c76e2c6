"""`provider: local`: instances are processes of this machine, behind the built-in balancer or HAProxy. No root
needed."""

from __future__ import annotations

import shutil

from providers.base import Context, Provider, Service, Transient
from providers.local import way_back
from providers.local.balancer import launcher
from providers.local.compute import LocalCompute
from providers.local.diagnose import diagnose, relaunch, repair
from providers.local.front import WRITE_S
from providers.local.home import Home, Homes
from providers.local.inventory import LocalInventory
from providers.local.options import Options
from providers.local.patcher import LocalPatcher
from providers.local.traffic import LocalTraffic

__all__ = ["Options", "build", "diagnose", "relaunch", "repair", "switches", "tear_down"]

STOP_S = 10.0


def build(context: Context) -> Provider:
    homes = Homes(context)
    compute = LocalCompute(homes)
    return Provider(
        name="local",
        compute=compute,
        traffic=LocalTraffic(homes),
        patcher=LocalPatcher(homes, compute),
        inventory=LocalInventory(homes),
        write_timeout_s=WRITE_S,
        way_back_lacks=lambda service, slot, image: way_back.lacks(homes, service, slot, image),
    )


def switches(service: Service) -> str:
    """Why this service cannot be `coexist: switched`, with what to write; empty if it can."""
    if service.options.get("switch"):
        return ""
    return (
        "options.switch is missing: write switch: {enable: [PROGRAM, ARGUMENT, …], disable: […], status: […]} below "
        f"services.{service.name}.options; these commands are then its traffic"
    )


def tear_down(context: Context, service: Service) -> None:
    """Stop the instances and the balancer of a service and remove all that is kept of it. Repeatable.

    With the last service of a state folder its built images go, too. Raises Transient.
    """
    home = Home(context, service.name)
    if home.exists:
        try:
            home.front.balancer.stop(home.balancer, STOP_S)
        except launcher.LaunchError as error:
            raise Transient(f"service {home.name}: {error}") from None
        with home.locked():
            records = home.records.all()
            specs = [home.spec(record.slot) for record in records]
            home.processes.terminate(records)
            home.processes.wait_or_kill(records, max((s.stop_timeout_s for s in specs if s), default=0.0))
            shutil.rmtree(home.folder)
    _remove_if_last(home)


def _remove_if_last(home: Home) -> None:
    services = home.root / "services"
    if home.root.is_dir() and not (services.is_dir() and any(services.iterdir())):
        shutil.rmtree(home.root)
