"""A target of the balancer's tests, a process of its own: answers with its name, or misbehaves when asked to.

Prints its port, then serves HTTP/1.1 with keep-alive. Standard library only, so that it starts fast.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field


@dataclass
class Target:
    name: str
    health: int = 200
    seen: dict[str, int] = field(default_factory=dict)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.one_request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ")
        headers = [tuple(line.split(": ", 1)) for line in lines]
        body = await read_body(reader, {name.lower(): value for name, value in headers})
        key = f"{method} {path}"
        self.seen[key] = self.seen.get(key, 0) + 1
        return await self.answer(method, path, headers, body, writer)

    async def answer(
        self, method: str, path: str, headers: list[tuple[str, ...]], body: bytes, writer: asyncio.StreamWriter
    ) -> bool:
        status, extra, content = 200, b"", self.name.encode()
        match path.split("/")[1:]:
            case ["health"]:
                status = self.health
            case ["health", code]:
                self.health = int(code)
            case ["echo"]:
                content = body
            case ["seen"]:
                content = json.dumps(self.seen).encode()
            case ["headers"]:
                content = json.dumps({"line": [method, path], "headers": headers}).encode()
            case ["status", code]:
                status = int(code)
            case ["big", size]:
                content = b"x" * int(size)
            case ["moved"]:
                status, extra = 302, b"Location: /elsewhere\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
            case ["hold"]:
                await self.release.wait()
            case ["release"]:
                self.release.set()
            case ["break"]:
                return False
            case ["close"]:  # promises keep-alive, then closes all the same
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nclosed")
                return False
            case ["half"]:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000)
                await writer.drain()
                return False
            case ["stream"]:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                await self.release.wait()
                writer.write(b"4\r\nlast\r\n0\r\n\r\n")
                return True
        head = f"HTTP/1.1 {status} Said\r\nX-Name: {self.name}\r\nContent-Length: {len(content)}\r\n"
        writer.write(head.encode() + extra + b"\r\n" + (b"" if method == "HEAD" else content))
        await writer.drain()
        return True


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


async def main(name: str, port: int) -> None:
    server = await asyncio.start_server(Target(name).connected, "127.0.0.1", port, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
