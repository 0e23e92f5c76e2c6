"""Who is at the other end of a local socket, as the kernel says."""

from __future__ import annotations

import pwd
import re
import socket
import struct

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


def uid_of(channel: socket.socket) -> int:
    """The user that connected, whatever it says of itself."""
    raw = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


def person(uid: int) -> str:
    """`user@host`, as `rollout.actor.this_person` has it of this process."""
    try:
        user = re.sub(r"\s+", "_", pwd.getpwuid(uid).pw_name)
    except KeyError:
        user = f"uid {uid}"
    return f"{user}@{socket.gethostname()}"
