"""Where the processes of an instance listen, as the kernel knows it."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
USUAL_EPHEMERAL = range(49152, 65536)
Found = tuple[str, str, int]


def listening(processes: Iterable[psutil.Process], own_port: int) -> tuple[str, ...] | None:
    """As in `HostInventory.listening`; None when there is no process, or one that may not be looked into."""
    found, looked = set[str](), False
    for process in processes:
        try:
            sockets = process.net_connections("inet")
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile, and its sockets with it
        except (psutil.Error, OSError):
            return None
        looked = True
        found |= {_entry(place, own_port, ephemeral_ports()) for one in sockets if (place := _open(one)) is not None}
    return tuple(sorted(found)) if looked else None


def ephemeral_ports() -> range:
    """From which the system chooses where a program leaves the choice to it."""
    try:
        first, last = (int(text) for text in EPHEMERAL.read_text("ascii").split())
    except (OSError, ValueError):
        return USUAL_EPHEMERAL
    return range(first, last + 1)


def _open(one: Any) -> Found | None:
    """Protocol, address and port of a socket to which anybody can send; None for any other."""
    if not one.laddr:
        return None
    if one.type == socket.SOCK_STREAM and one.status == psutil.CONN_LISTEN:
        return "tcp", one.laddr.ip, one.laddr.port
    if one.type == socket.SOCK_DGRAM and not one.raddr:
        return "udp", one.laddr.ip, one.laddr.port
    return None


def _entry(place: Found, own_port: int, ephemeral: range) -> str:
    protocol, address, port = place
    named = f"[{address}]" if ":" in address else address
    if protocol == "tcp" and port == own_port:
        return f"tcp/{named}:service"
    # A client's datagram socket (a look-up of a name) waits for its answer at another port each time. Listening for
    # connections there is somebody's doing, and stays visible as what it is.
    return f"{protocol}/{named}:{'ephemeral' if protocol == 'udp' and port in ephemeral else port}"
