"""HAProxy's own control socket: one command (or several, with `;`) for each connection. Standard library only."""

from __future__ import annotations

from pathlib import Path

from providers.local.balancer.client import Channel, Refused, Unreachable, short_path
from providers.local.haproxy.weights import KEY, MAP, Entry, from_memory

OUT_OF_RANGE = "Version number out of range"
CREATED = "New version created: "
MOST = 64 << 20  # bytes of an answer


class SocketLost(Unreachable):
    """Nobody listens there: HAProxy is dead, or its socket was taken away."""


class Overtaken(Exception):
    """Another writer's version of the map came into force first; this one is refused for good."""


class Cli:
    """deadline: monotonic; for all calls together."""

    def __init__(self, directory: Path, deadline: float) -> None:
        self._directory, self._deadline = directory, deadline

    def ask(self, command: str) -> str:
        """The answer as it comes. Raises Unreachable (SocketLost: surely nothing was done)."""
        with Channel(self._deadline) as channel:
            try:
                with short_path(self._directory) as path:
                    channel.connect(path)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise SocketLost(f"HAProxy in {self._directory}: {error}", may_have_applied=False) from error
            except OSError as error:
                raise Unreachable(f"HAProxy in {self._directory}: {error}", may_have_applied=False) from error
            try:
                channel.sendall(command.encode() + b"\n")
                return _all_of(channel).decode("utf-8", "replace")
            except OSError as error:
                what = command.partition(" ")[0]
                message = f"HAProxy in {self._directory}: no answer to {what}: {error!r}"
                raise Unreachable(message, may_have_applied=True) from error

    def tell(self, command: str, said: str = "") -> None:
        """Raises Refused unless the answer is what success says, Unreachable."""
        answer = self.ask(command).strip()
        if answer != said:
            raise Refused(f"HAProxy: {command}: {answer[:300]}", status=500)

    def entry(self) -> Entry:
        """By which traffic is shared now. Raises Unreachable, Refused."""
        answer = self.ask(f"show map {MAP}")
        if answer.startswith("Unknown map"):
            raise Refused(f"HAProxy in {self._directory} does not know {MAP}: it runs with another file", status=500)
        return from_memory(answer)

    def begin(self) -> tuple[str, Entry]:
        """A new version of the map, and the entry in force now. What is committed of an older version is refused."""
        said, _, shown = self.ask(f"prepare map {MAP}; show map {MAP}").lstrip().partition("\n")
        if not said.startswith(CREATED):
            raise Refused(f"HAProxy in {self._directory}: prepare map: {said[:300]}", status=500)
        return said.removeprefix(CREATED).strip(), from_memory(shown)

    def commit(self, version: str, entry: Entry) -> None:
        """Route by this entry from now on. Raises Overtaken, Refused, Unreachable."""
        # The whole version comes into force at once: no request meets a map without an entry.
        command = f"add map @{version} {MAP} {KEY} {entry.text}; commit map @{version} {MAP}"
        answer = self.ask(command).strip()
        if OUT_OF_RANGE in answer:
            raise Overtaken
        if answer:
            raise Refused(f"HAProxy: {command}: {answer[:300]}", status=500)


def _all_of(channel: Channel) -> bytes:
    answer = bytearray()
    while part := channel.recv(65536):
        answer += part
        if len(answer) > MOST:
            raise OSError("the answer does not end")
    return bytes(answer)
