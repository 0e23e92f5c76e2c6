"""What is wrong with a service on this machine, looked at without starting or changing anything; and small repairs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from providers.base import SLOTS, Context, Instance, Invalid, NotFound, Service, Slot, Transient
from providers.local.balancer.client import BalancerError
from providers.local.balancer.launcher import CRASHES
from providers.local.compute import LocalCompute, observed
from providers.local.home import Home, Homes
from providers.local.images import MANIFEST, ImageFolder
from providers.local.options import Options, port_range
from providers.local.processes import bindable
from providers.local.records import Record
from providers.local.traffic import LocalTraffic

Found = tuple[str, str, str]
"""ok, warning or problem; what was found; what can be done about it."""

ANSWER_S = 2.0
PIP_S = 20.0
RUN_S = 20.0
LOOK_S = 0.1
FEW_PORTS = 2  # times the instances: both sides, and one to spare


def diagnose(context: Context, service: Service) -> list[Found]:
    """Images, pip, ports, balancer and instances of one service."""
    homes = Homes(context)
    try:
        options = homes.options(service)
        home = homes.of(service)
    except Invalid as error:
        return [("problem", str(error), "correct the service's options in the fleet file")]
    found = [*_pip(), *_images(homes.path(options.images), port=options.switch is None)]
    if home.exists and home.front.exists and home.front.switched is not None:
        found += [*_switched(home), *_instances(home)]
    elif home.exists and home.front.exists:
        found += [*_chosen(home, options), *_balancer(home), *_instances(home)]
    else:
        found += [
            ("warning", "it was never stood up here", f"rollout up {service.name}"),
            *([] if options.switch else _listeners(options)),
        ]
    return [*found, *_ports(home, options)]


def repair(context: Context, service: Service) -> list[str]:
    """Start a balancer whose parent is dead; what was done, in words. Raises Transient."""
    try:
        home = Homes(context).of(service)
    except Invalid:
        return []
    if not home.exists or not home.front.exists or home.front.switched is not None:
        return []  # an interrupted switch is for whoever drives the rollout, or rolls it back
    if home.front.balancer.condition(home.balancer) is None:
        return []
    home.front.state()
    return ["its balancer was dead and runs again"]


def relaunch(context: Context, service: Service) -> list[str]:
    """Launch the dead instances of a side that has traffic again; only for a service without an open rollout.

    Dead instances of a rollout are evidence that its checks need. Raises Transient, Invalid.
    """
    homes, done = Homes(context), []
    home = homes.of(service)
    for slot in SLOTS if home.exists and home.front.exists else ():
        spec = home.spec(slot)
        missing = spec.capacity - len(_living(home, slot)) if spec and home.front.share(slot) else 0
        if spec is None or missing <= 0:
            continue
        token = f"relaunch/{slot}/{context.clock.now()}"
        LocalCompute(homes).scale(service, slot, spec.capacity, token)
        LocalTraffic(homes).attach(service, slot, _running(context, home, slot, spec.capacity), f"{token}/attach")
        done.append(f"{missing} of the {spec.capacity} instances of {slot} were dead and run again")
    return done


def _running(context: Context, home: Home, slot: Slot, capacity: int) -> list[Instance]:
    """The side's instances once they run, or those that do after RUN_S."""
    deadline = context.clock.now() + RUN_S
    while True:
        running = [each for each in observed(home) if each.slot == slot and each.state == "running"]
        if len(running) >= capacity or context.clock.now() >= deadline:
            return running
        context.clock.sleep(LOOK_S)


def _living(home: Home, slot: Slot) -> list[Record]:
    records = [record for record in home.records.all(slot) if not record.stopping]
    return [record for record in records if home.processes.find(record) is not None]


def _pip() -> Iterator[Found]:
    """Images are built with it."""
    try:
        asked = [sys.executable, "-m", "pip", "--version"]
        done = subprocess.run(
            asked, capture_output=True, text=True, timeout=PIP_S, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield "problem", f"pip cannot be run: {error}", f"make {sys.executable} -m pip work"
        return
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        yield "problem", f"pip does not work: {said[-1] if said else done.returncode}", f"{sys.executable} -m ensurepip"


def _images(folder: Path, port: bool) -> Iterator[Found]:
    if not folder.is_dir():
        yield "problem", f"there is no folder of images {folder}", f"make it, with a folder for each image ({MANIFEST})"
        return
    images = ImageFolder(folder, port)
    for name in images.names():
        try:
            images.load(name)
        except (Invalid, NotFound, OSError) as error:
            yield "warning", f"image {name} cannot be used: {error}", f"correct {folder / name}"
    if not images.names():
        yield "problem", f"{folder} holds no image", f"make a folder with an {MANIFEST} in it"


def _chosen(home: Home, options: Options) -> Iterator[Found]:
    """What is asked for now counts for the next time that the service is stood up."""
    name = home.front.balancer.name
    if options.balancer not in ("auto", name):
        text = f"it stands behind the balancer {name}, and the fleet file says {options.balancer}"
        yield "warning", text, f"balancer: {name}, or rollout down {home.name} and rollout up {home.name} to change it"


def _balancer(home: Home) -> Iterator[Found]:
    """Both processes, and whether they answer. Reading the route would start them; this does not."""
    fix = f"rollout repair {home.name} starts it again; any rollout status does, too"
    where = f"see {home.balancer / CRASHES}"
    if (condition := home.front.balancer.condition(home.balancer)) is not None:
        yield "problem", condition, fix
        return
    try:
        state = home.front.balancer.client(home.balancer, ANSWER_S).state()
    except BalancerError as error:
        yield (
            "problem",
            f"its balancer runs and does not answer: {error}",
            f"{where}; rollout rollback {home.name} works",
        )
        return
    for slot in SLOTS:
        if state["weights"][slot] and not any(target["healthy"] for target in state["targets"][slot]):
            text = f"{slot} has {state['weights'][slot]} % of the traffic and no healthy target"
            yield "problem", text, f"rollout status {home.name}, then rollout rollback {home.name}"


def _switched(home: Home) -> Iterator[Found]:
    """Which side works, as the owner's commands say."""
    fix = f"rollout resume {home.name}, or rollout rollback {home.name}"
    if (condition := home.front.balancer.condition(home.balancer)) is not None:
        yield "problem", condition, fix
        return
    try:
        state = home.front.balancer.client(home.balancer, ANSWER_S).state()
    except BalancerError as error:
        yield "problem", f"which side works is not known: {error}", fix
        return
    works = [slot for slot in SLOTS if state["weights"][slot]]
    if state.get("unsure"):
        yield "problem", f"which side works is not known: {state['unsure']}", "make the status command work"
    elif len(works) != 1:
        which = "both sides are enabled" if works else "neither side is enabled"
        yield "problem", f"{which}: somebody switched by hand", "enable exactly one by hand"


def _instances(home: Home) -> Iterator[Found]:
    for slot in SLOTS:
        yield from _side(home, slot)


def _side(home: Home, slot: Slot) -> Iterator[Found]:
    try:
        spec, share = home.spec(slot), home.front.share(slot)
    except (Transient, TypeError, ValueError) as error:
        yield "problem", f"what {slot} is cannot be read: {error}", f"look into {home.folder}"
        return
    if spec is None:
        return
    records = [record for record in home.records.all(slot) if not record.stopping]
    living = _living(home, slot)
    dead, alive = [record.id for record in records if record not in living], len(living)
    if dead or alive < spec.capacity:
        text = f"{alive} of {spec.capacity} instances of {slot} live ({share} % of the traffic)"
        named = f"; dead: {', '.join(dead)}, see {home.records.folder}/*.log" if dead else ""
        fix = f"rollout repair {home.name} launches them again, unless a rollout is open: its checks see to it"
        yield ("problem" if share else "warning"), f"{text}{named}", fix


def _listeners(options: Options) -> Iterator[Found]:
    """Before it is stood up, its addresses have to be free."""
    for address in (options.listen, options.test_listen):
        host, _, port = address.rpartition(":")
        if not bindable(int(port), host.strip("[]")):
            yield (
                "problem",
                f"somebody else listens on {address}",
                "stop that, or choose another address in the fleet file",
            )


def _ports(home: Home, options: Options) -> Iterator[Found]:
    """Enough free ports for another side."""
    ports = port_range(options.ports)
    used = home.ports_in_use()
    free = [port for port in ports if port not in used and bindable(port)]
    need = FEW_PORTS * options.instances
    if len(free) < options.instances:
        text = f"{len(free)} ports of {options.ports} are free, and another side needs {options.instances}"
        yield "problem", text, "widen the option ports, or stop what uses them"
    elif len(free) < min(need, len(ports) - len(used)):
        text = f"only {len(free)} ports of {options.ports} are free"
        yield "warning", text, "widen the option ports, or stop what uses them"
