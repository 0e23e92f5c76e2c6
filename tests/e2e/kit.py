"""What the end-to-end tests share: a fleet in a folder of its own, the program as a process, a load, the truth.

Nothing here reaches into the program to learn what happened: traffic is read from the balancer, processes from the
system, the journal from the store's file.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import yaml

from providers.base import Context, Service
from providers.local import adapter, balancers
from tests.ports import ROW, free_port, free_row

PATIENCE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(sys.executable).with_name("rollout")
PROGRAM = (str(SCRIPT),) if SCRIPT.exists() else (sys.executable, "-m", "rollout")
PORTS = ROW
SERVICE = "shop"
Found = TypeVar("Found")

# The images differ only in their lock, as patched images do; a comment in it says how the application behaves.
APP = r"""
import http.server, os, re, sys, threading, time
from pathlib import Path
LOCK = (Path(__file__).resolve().parent.parent / "requirements.lock").read_text()
MODE = re.search(r"# behaves: (\S+)", LOCK)[1]
with open(os.environ["STARTS"], "a") as starts:
    starts.write(os.environ["ROLLOUT_INSTANCE"] + "\n")
if MODE == "exits":
    sys.exit("the license file is missing")
count = 0
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        global count
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = 200
        if MODE == "sick":
            status = 503
        elif self.path != "/health" and MODE == "faulty":
            count += 1
            status = 500 if count % 3 == 0 else 200
        elif self.path != "/health" and MODE == "slow":
            time.sleep(0.3)
        body = os.environ["ROLLOUT_INSTANCE"].encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(sys.argv[-1])), Handler).serve_forever()
"""
COMMAND = ["{python}", "-S", "{image}/app.py", "--port", "{port}"]


@dataclass(frozen=True, slots=True)
class Done:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> dict[str, Any]:
        """The last JSON object on stdout."""
        document: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return document

    @property
    def objects(self) -> list[dict[str, Any]]:
        """All of stdout as JSON lines; anything else on it is an error."""
        return [json.loads(line) for line in self.out.splitlines()]


class Running:
    """A command that was started and not waited for."""

    def __init__(self, arguments: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self._said: dict[str, list[str]] = {"out": [], "err": []}
        pipes = {"out": self.process.stdout, "err": self.process.stderr}
        self._readers = [threading.Thread(target=self._read, args=each, daemon=True) for each in pipes.items()]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, pipe: Any) -> None:
        for line in pipe:
            self._said[name].append(line)

    @property
    def err(self) -> str:
        return "".join(list(self._said["err"]))

    @property
    def out(self) -> str:
        return "".join(list(self._said["out"]))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_for(self, text: str) -> None:
        """Until it said so on either stream."""
        wait_until(
            lambda: text in self.err or text in self.out or self.process.poll() is not None,
            lambda: f"{text!r} is said; so far: {self.out}{self.err}",
        )
        assert text in self.err + self.out, f"it ended without saying {text!r}: {self.out}{self.err}"

    def wait(self, timeout_s: float = PATIENCE_S) -> Done:
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s: {self.out}{self.err}") from None
        for reader in self._readers:
            reader.join(PATIENCE_S)
        return Done(code, self.out, self.err)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@dataclass
class Load:
    """Keep-alive clients, half of them posting, that never try again. `pause_s` is between two requests of one."""

    port: int
    clients: int = 2
    pause_s: float = 0.01
    requests: int = 0
    failures: list[tuple[float, str]] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def running(self) -> Iterator[Load]:
        self._stop = threading.Event()
        threads = [threading.Thread(target=self._client, args=[number]) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _client(self, number: int) -> None:
        method, body = ("POST", b"order") if number % 2 else ("GET", None)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        while not self._stop.is_set():
            try:
                connection.request(method, "/items", body)
                answer = connection.getresponse()
                answer.read()
                failure = f"{method} {answer.status}" if answer.status != 200 else ""
                self.served[answer.headers.get("X-Rollout-Served-By", "")] += 1
            except (OSError, http.client.HTTPException) as error:
                failure = f"{method} {error!r}"
                connection.close()
            self.requests += 1
            if failure:
                self.failures.append((time.time(), failure))
            self._stop.wait(self.pause_s)
        connection.close()


class Told:
    """What the store's file of a fleet in `state` says."""

    state: Any

    def entries(self, rollout: str | None = None) -> list[tuple[int, str, str, dict[str, Any]]]:
        """(seq, kind, step, data) of one rollout (else of the newest), read straight from the store's file."""
        path = self.state / "rollout.db"
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            try:
                if rollout is None:
                    found = db.execute("SELECT id FROM rollouts ORDER BY opened_at DESC LIMIT 1").fetchone()
                    rollout = found[0] if found else ""
                query = "SELECT seq, kind, step, data FROM journal WHERE rollout = ? ORDER BY seq"
                return [(s, k, t, json.loads(d)) for s, k, t, d in db.execute(query, (rollout,))]
            except sqlite3.OperationalError:
                return []  # it is being made

    def reached(self, kind: str, step: str = "") -> bool:
        return any(entry[1] == kind and entry[2].startswith(step) for entry in self.entries())

    def wait_reached(self, kind: str, step: str, running: Running | None = None) -> None:
        wait_until(
            lambda: self.reached(kind, step) or (running is not None and running.process.poll() is not None),
            lambda: f"{kind} {step} is journalled",
        )
        said = running.out + running.err if running else ""
        assert self.reached(kind, step), f"it ended before {kind} {step} was journalled: {said}"

    def wait_journalled(self, count: int, running: Running) -> None:
        """Until the newest rollout has so many entries, or the command that drives it has ended."""
        wait_until(
            lambda: len(self.entries()) >= count or running.process.poll() is not None, f"entry {count} is journalled"
        )


class Fleet(Told):
    """One service on the local provider, in a folder of its own; soaks are short, the way back is not.

    balancer: builtin or haproxy; changes: settings of the service.
    """

    def __init__(self, folder: Path, balancer: str = "builtin", **changes: Any) -> None:
        self.folder = folder
        self.config = folder / "fleet.yaml"
        self.starts = folder / "starts.log"
        self.children: list[Running] = []
        self.port, self.test_port = free_port(), free_port()
        first = free_row()
        self.document: dict[str, Any] = {
            "version": 1,
            "services": {
                SERVICE: {
                    "provider": "local",
                    "coexist": "safe",
                    "options": {
                        "images": "images",
                        "listen": f"127.0.0.1:{self.port}",
                        "test_listen": f"127.0.0.1:{self.test_port}",
                        "ports": f"{first}-{first + PORTS - 1}",
                        "instances": 1,
                        "balancer": balancer,
                        "environment": {"STARTS": str(self.starts)},
                        "stop_timeout_s": 2,
                    },
                    "traffic": {"steps": [50, 100], "soak": "600ms", "interval": "300ms", "drain_limit": "10s"},
                    "settle": "0s",
                    "bake": "300ms",
                    "keep_warm": "1h",
                    "gates": {
                        "preflight": {"passes": 1, "deadline": "60s"},
                        "replacement": {"passes": 2, "failures": 2, "deadline": "60s"},
                        "live": {"passes": 2, "failures": 2, "deadline": "60s"},
                    },
                    "deadlines": {"running": "60s", "healthy": "60s", "drained": "20s"},
                    "checks": {
                        "preflight": ["balancer"],
                        "replacement": [{"http": {"path": "/health"}}, "balancer", "fidelity"],
                        "live": ["balancer"],
                    },
                }
            },
        }
        self.change(**changes)
        for name in ("base-1", "base-2", "base-3"):
            self.image(name)

    def change(self, **changes: Any) -> None:
        """Settings of the service, replaced or (mappings) merged, and written."""
        service = self.document["services"][SERVICE]
        for name, value in changes.items():
            service[name] = {**service[name], **value} if isinstance(value, dict) and name in service else value
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(yaml.safe_dump(self.document, sort_keys=False))

    def image(self, name: str, behaves: str = "well", command: list[str] | None = None) -> None:
        """behaves: well, sick (503), exits, faulty (a third of the real requests answer 500), slow."""
        folder = self.folder / "images" / name
        folder.mkdir(parents=True)
        (self.folder / "app.py").write_text(APP)
        (folder / "requirements.lock").write_text(f"# {name}\n# behaves: {behaves}\n")
        manifest = {"command": command or COMMAND, "files": ["../../app.py"], "lock": "requirements.lock"}
        (folder / "image.yaml").write_text(json.dumps(manifest))

    # The program

    def begin(self, *arguments: str, **variables: str) -> Running:
        command = [*PROGRAM, *arguments, "--config", str(self.config)]
        running = Running(command, self.folder, {**environment(self.folder), **variables})
        self.children.append(running)
        return running

    def rollout(self, *arguments: str, timeout_s: float = PATIENCE_S) -> Done:
        return self.begin(*arguments).wait(timeout_s)

    def up(self, image: str = "base-1") -> None:
        done = self.rollout("up", SERVICE, "--image", image)
        assert done.code == 0, done

    def promoted(self, image: str = "base-2") -> dict[str, Any]:
        """A rollout that went well and is warm now."""
        done = self.rollout("start", SERVICE, "--image", image, "--json")
        assert done.code == 0, done
        return done.last

    def status(self, which: str = SERVICE) -> dict[str, Any]:
        done = self.rollout("status", which, "--json")
        assert done.code == 0, done
        return done.last

    # The truth

    @property
    def state(self) -> Path:
        return self.folder / ".rollout"

    @property
    def balancer(self) -> Path:
        return self.state.resolve() / "local" / "services" / SERVICE / "balancer"

    @property
    def client(self) -> balancers.Client:
        """The provider's own for the balancer that is there."""
        return balancers.of(self.balancer).client(self.balancer, 10.0)

    @property
    def weights(self) -> dict[str, int]:
        """Where traffic is, as the balancer says."""
        return dict(self.client.state()["weights"])

    def healthy(self, slot: str) -> int:
        """How many targets of a slot the balancer calls healthy."""
        targets = self.client.state()["targets"][slot]
        return sum(target["healthy"] is True for target in targets)

    def reroute(self, **weights: int) -> None:
        """A person edits the weights by hand."""
        self.client.set_weights(weights, expected_revision=None, token="by hand")

    def started(self) -> list[str]:
        """Every instance that ever ran, as each noted itself."""
        return self.starts.read_text().split() if self.starts.exists() else []

    def instances(self, slot: str = "") -> list[psutil.Process]:
        """Live processes that carry this fleet's tag."""
        return [each for each in self.processes() if f"-{slot}" in _variable(each, "ROLLOUT_INSTANCE")]

    def processes(self) -> list[psutil.Process]:
        """All live processes of this fleet, balancers too, found without the provider's help."""
        return [process for process in psutil.process_iter() if self._ours(process)]

    def _ours(self, process: psutil.Process) -> bool:
        root = str(self.state.resolve() / "local")
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.cwd().startswith(root) or _variable(process, "ROLLOUT_SERVICE").endswith(f"@{root}")
        except psutil.Error:
            return False

    def pid_of(self, who: str) -> int:
        """parent or worker of the balancer; HAProxy is its own parent"""
        return int(json.loads((self.balancer / f"{who}.json").read_text())["pid"])

    @contextmanager
    def load(self, **options: Any) -> Iterator[Load]:
        with Load(self.port, **options).running() as load:
            yield load

    def close(self) -> None:
        for child in self.children:
            child.kill()
        adapter.tear_down(Context(self.state, self.folder, _Clock()), Service(SERVICE))
        left = self.processes()
        for process in left:
            process.kill()
        assert not left, f"left behind: {left}"


class _Clock:
    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@contextmanager
def open_fleet(folder: Path, balancer: str = "builtin", **changes: Any) -> Iterator[Fleet]:
    """A fleet; nothing of it is left afterwards."""
    fleet = Fleet(folder, balancer, **changes)
    try:
        yield fleet
    finally:
        fleet.close()


def environment(folder: Path) -> dict[str, str]:
    """A user without any settings of his own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROLLOUT_", "XDG_"))}
    return {**kept, "XDG_CONFIG_HOME": str(folder / "config"), "COLUMNS": "120"}


def wait_until(true: Callable[[], object], what: str | Callable[[], str], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what if isinstance(what, str) else what()}"
        time.sleep(0.01)


def _variable(process: psutil.Process, name: str) -> str:
    try:
        return str(process.environ().get(name, ""))
    except psutil.Error:
        return ""
