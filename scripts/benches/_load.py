"""The load of a bench, a process of its own: keep-alive clients at a steady rate, half of them posting, none retrying.

    python scripts/benches/_load.py HOST:PORT --rate 800 --clients 8 --streams 4

Runs until its standard input ends; then prints one JSON document:
requests: [began, ended, status, side] of each, in seconds of the monotonic clock; status 0: no answer.
streams: how many long-lived answers there were, broken: how many of them ended before we did.
"""

import argparse
import asyncio
import json
import sys
import time

PATIENCE_S = 10.0


class Load:
    def __init__(self, host: str, port: int, interval_s: float) -> None:
        self._host, self._port, self._interval_s = host, port, interval_s
        self.requests: list[tuple[float, float, int, str]] = []
        self.streams = self.broken = 0
        self._ending = False

    async def run(self, clients: int, streams: int) -> None:
        tasks = [asyncio.create_task(self._client(number, clients)) for number in range(clients)]
        long = [asyncio.create_task(self._stream()) for _ in range(streams)]
        await asyncio.to_thread(sys.stdin.read)
        self._ending = True
        await asyncio.gather(*tasks)
        for task in long:
            task.cancel()
        await asyncio.gather(*long, return_exceptions=True)

    async def _client(self, number: int, clients: int) -> None:
        body = b"order" if number % 2 else b""
        method = "POST" if body else "GET"
        request = f"{method} /who HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        due = time.monotonic() + self._interval_s * number / clients
        while not self._ending:
            try:
                reader, writer = await asyncio.open_connection(self._host, self._port)
            except OSError:
                now = time.monotonic()
                self.requests.append((now, now, 0, ""))
                await asyncio.sleep(self._interval_s)
                continue
            try:
                stays = True
                while stays and not self._ending:
                    await asyncio.sleep(max(due - time.monotonic(), 0.0))
                    due = max(due + self._interval_s, time.monotonic())
                    began = time.monotonic()
                    try:
                        writer.write(request)
                        async with asyncio.timeout(PATIENCE_S):
                            status, side, stays = await answer(reader)
                    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                        status, side, stays = 0, "", False
                    self.requests.append((began, time.monotonic(), status, side))
            finally:
                writer.close()

    async def _stream(self) -> None:
        """An answer that goes on as long as we are here."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            await reader.readuntil(b"first\r\n")
            self.streams += 1
            await reader.read(1)
            self.broken += 1
        except OSError:
            self.broken += 1
        finally:
            writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, str, bool]:
    """Status, which side, and whether the connection may be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    await reader.readexactly(int(fields["content-length"]))
    return int(head.split(" ")[1]), fields.get("x-rollout-served-by", ""), fields.get("connection") != "close"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, required=True, help="requests/s of all clients together")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--streams", type=int, required=True)
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    load = Load(host, int(port), options.clients / options.rate)
    asyncio.run(load.run(options.clients, options.streams))
    json.dump({"requests": load.requests, "streams": load.streams, "broken": load.broken}, sys.stdout)


if __name__ == "__main__":
    main()
