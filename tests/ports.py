"""Ports that nobody listens on."""

from __future__ import annotations

import random
import socket

BELOW_EPHEMERAL = range(12_000, 32_000)
"""Those that a system gives to clients may be taken by one before the server has it; or it connects to itself there."""


def free_port() -> int:
    """One that is free now, and that no client will be given."""
    while True:
        port = random.SystemRandom().choice(BELOW_EPHEMERAL)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Could a server listen there now?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
