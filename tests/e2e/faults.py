"""Applications with faults that only a careful gate sees, and a metric source that may have a bad day."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from tests.e2e.kit import COMMAND, Fleet

APP = r"""
import http.server, os, re, socket, threading, time
from pathlib import Path
LOCK = (Path(__file__).resolve().parent.parent / "requirements.lock").read_text()
MODE, STORM = re.search(r"# behaves: (\S+)", LOCK)[1], Path(os.environ["STARTS"]).with_name("storm")
count, busy, kept, guard = 0, 0, [], threading.Lock()
if MODE == "opens-a-port":
    door = socket.create_server(("127.0.0.1", 0))
def page():
    global count
    count += 1
    if STORM.exists():
        return 500
    if MODE == "sometimes-slow" and count % 4 == 0:
        time.sleep(0.3)
    if MODE == "leaks":
        kept.append(b"x" * 1_000_000)
    if MODE == "breaks-under-load":
        time.sleep(0.02)
        return 500 if busy > 2 else 200
    return 200
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_GET(self):
        global busy
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with guard:
            busy += 1
        status = 200 if self.path in ("/health", "/memory") else page()
        with guard:
            busy -= 1
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        body = str(pages * os.sysconf("SC_PAGE_SIZE")).encode() if self.path == "/memory" else b"ok"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.sys.argv[-1])), Handler).serve_forever()
"""
Mood = Literal["well", "empty", "late", "rubbish", "failing"]


def image(fleet: Fleet, name: str, behaves: str = "well") -> None:
    """well, sometimes-slow, leaks, opens-a-port, breaks-under-load; all answer 500 while there is a file `storm`."""
    folder = fleet.folder / "images" / name
    folder.mkdir(parents=True)
    (fleet.folder / "careful.py").write_text(APP)
    (folder / "requirements.lock").write_text(f"# {name}\n# behaves: {behaves}\n")
    command = [part.replace("app.py", "careful.py") for part in COMMAND]
    manifest = {"command": command, "files": ["../../careful.py"], "lock": "requirements.lock"}
    (folder / "image.yaml").write_text(json.dumps(manifest))


@dataclass
class Metrics:
    """Speaks Prometheus's API; the figure is the memory of the largest instance that is named, asked of itself."""

    mood: Mood = "well"
    asked: int = 0
    port: int = 0

    def check(self, **options: Any) -> dict[str, Any]:
        """The check that asks it, as a fleet file has it."""
        query = 'max(process_resident_memory_bytes{instance=~"{instances}"})'
        url = f"http://127.0.0.1:{self.port}"
        return {"metrics": {"name": "memory", "prometheus": url, "allow_private": True, "query": query, **options}}

    def answer(self, query: str) -> tuple[int, str, bytes]:
        self.asked += 1
        if self.mood == "rubbish":
            return 200, "text/html", b"<html>welcome</html>"
        if self.mood == "failing":
            return 503, "application/json", b'{"status": "error", "error": "the store is being replayed"}'
        at = time.time() - (600 if self.mood == "late" else 0)
        hosts = [] if self.mood == "empty" else re.findall(r"127\.0\.0\.1:\d+", query.replace("\\", ""))
        found = [{"metric": {}, "value": [at, str(max(map(_memory, hosts)))]}] if hosts else []
        data = {"status": "success", "data": {"resultType": "vector", "result": found}}
        return 200, "application/json", json.dumps(data).encode()

    @contextmanager
    def running(self) -> Iterator[Metrics]:
        metrics = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)["query"][0]
                status, kind, body = metrics.answer(query)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.port = server.server_port
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


def _memory(address: str) -> int:
    with urllib.request.urlopen(f"http://{address}/memory", timeout=5) as response:
        return int(response.read())
