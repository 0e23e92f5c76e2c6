"""The `local` part of a service's configuration, and the secret references in it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, get_args

from providers.base import Invalid
from providers.local.switch.model import Switch

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = "ROLLOUT_"
MIN_PORT = 1024

Choice = Literal["builtin", "haproxy", "auto"]
CHOICES: tuple[str, ...] = get_args(Choice)
Value = str | Mapping[str, str]
"""Plain text, or a reference: {"env": NAME} or {"file": PATH}."""


@dataclass(frozen=True)
class Options:
    """Paths are relative to the fleet file's folder. Raises ValueError saying what is allowed.

    images: folder of images. listen, test_listen: `ip:port` of traffic and of the test route. ports: the
    range that instances take free ports from. instances: capacity of the first environment. health: path
    that the balancer asks. balancer: `builtin`, `haproxy`, or `auto`, which is haproxy where this machine has
    it; decided for good when the service is stood up. environment: variables of the instances; references are
    resolved only when one starts. stop_timeout_s: seconds between asking an instance to stop and killing it.
    switch: for `coexist: switched`, the commands that are the traffic in the place of a balancer; listen,
    test_listen, health and balancer then mean nothing.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    images: str = "images"
    listen: str = "127.0.0.1:8080"
    test_listen: str = "127.0.0.1:8081"
    ports: str = "18100-18199"
    instances: int = 2
    health: str = "/health"
    balancer: Choice = "builtin"
    environment: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    stop_timeout_s: float = 5.0
    allow_public_listen: bool = False
    switch: Switch | None = None

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("images: the path of a folder of images is needed")
        _check_listen("listen", self.listen, self.allow_public_listen)
        _check_listen("test_listen", self.test_listen, public=False)
        if self.listen == self.test_listen:
            raise ValueError(f"test_listen: {self.test_listen} is taken by listen; another port is needed")
        port_range(self.ports)
        if not 1 <= self.instances <= 100:
            raise ValueError(f"instances: {self.instances} is not in 1..100")
        if not self.health.startswith("/") or not self.health.isprintable() or " " in self.health:
            raise ValueError(f"health: {self.health!r} is not a path; it starts with / and has no spaces")
        if self.balancer not in CHOICES:
            raise ValueError(f"balancer: {self.balancer!r} is not one of {', '.join(CHOICES)}")
        if not 0 < self.stop_timeout_s <= 300:
            raise ValueError(f"stop_timeout_s: {self.stop_timeout_s} is not in 0..300 seconds")
        object.__setattr__(self, "switch", Switch.of(self.switch))  # plans keep it as plain data
        for name, value in self.environment.items():
            _check_variable(name, value)


def port_range(text: str) -> range:
    """`18100-18199` as ports. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{4,5})-([0-9]{4,5})", text)
    first, last = (int(match[1]), int(match[2])) if match else (0, 0)
    if not MIN_PORT <= first <= last <= 65535:
        raise ValueError(f"ports: {text!r} is not a range within {MIN_PORT}-65535, like 18100-18199")
    return range(first, last + 1)


def resolve_environment(values: Mapping[str, Value], fleet_dir: Path) -> dict[str, str]:
    """The variables with their secrets, for a process that is about to start. Raises Invalid."""
    return {name: _resolve(name, value, fleet_dir) for name, value in values.items()}


def reference(value: Value) -> str:
    """A variable as it may be written down: a plain value as it is, a secret only as where it comes from."""
    if isinstance(value, str):
        return f"= {value}"
    return " ".join(f"from {kind} {at}" for kind, at in value.items())


def _resolve(name: str, value: Value, fleet_dir: Path) -> str:
    if isinstance(value, str):
        return value
    if "env" in value:
        if value["env"] not in os.environ:
            raise Invalid(f"environment.{name}: it comes from the variable {value['env']}, which is not set")
        return os.environ[value["env"]]
    path = fleet_dir / value["file"]
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Invalid(f"environment.{name}: {path} cannot be read: {reason}") from None


def _check_listen(key: str, text: str, public: bool) -> None:
    host, _, port = text.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        good = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{key}: {text!r} is not an IP address and port, like 127.0.0.1:8080")
    if not ip.is_loopback and not public:
        way_out = "; allow_public_listen: true lifts this" if key == "listen" else ""
        raise ValueError(f"{key}: {text} can be reached from outside; a loopback address is needed{way_out}")


def _check_variable(name: str, value: Value) -> None:
    if not NAME.fullmatch(name) or name.startswith(RESERVED):
        raise ValueError(f"environment: {name!r} is not a variable's name, or begins with our own {RESERVED}")
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError(f"environment.{name}: a NUL character cannot be in a variable")
    elif set(value) not in ({"env"}, {"file"}) or not all(value.values()):
        raise ValueError(f"environment.{name}: text, {{env: NAME}} or {{file: PATH}} is needed")
