"""What does a program on this machine say about the slot? Its exit code is the answer.

The program is started as an argument list, never by a shell, as the user who drives the rollout, in the fleet file's
folder (a test that is kept beside the fleet file finds its files; nothing of ours is there to be damaged), with
nothing on its standard input and these variables only:

  PATH, HOME, LANG            fixed; HOME is that of the user
  ROLLOUT_SERVICE, ROLLOUT_SLOT, ROLLOUT_ROLE      original or replacement
  ROLLOUT_IMAGES              the images that have to run, empty for the original
  ROLLOUT_TEST_URL, ROLLOUT_TEST_HEADERS           the way to the slot, the headers as a JSON object; the URL is empty
                                                   where the service has no test route
  ROLLOUT_INSTANCES           host:port of each running instance, with spaces between
  and what the option `environment` has

Addresses that `addresses` refuses are not handed on: the verdict is then unknown. The program has
`subject.timeout_s`; then it and all of its process group are killed, and so is what it leaves behind in its group when
it ends. A program that does not end in time, cannot be started, or is killed has said nothing: unknown. What it printed
(standard output and error, the last 4 KiB) is evidence, without the test route's header values.
The plan holds the arguments, not what is in the program's file.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import selectors
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

import psutil

from healthchecks import sources
from healthchecks.addresses import Refused
from healthchecks.base import Subject, Verdict
from healthchecks.deadline import Deadline
from healthchecks.guard import guarded, short
from providers.base import Invalid, TestRoute

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
KEPT_BYTES = 4096
READ_BYTES, PIPE_BYTES = 64 * 1024, 1024 * 1024
POLL_S = 0.05
KILL_S = 2.0
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNPRINTABLE = re.compile(r"[^\n\t\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")


@dataclass(frozen=True)
class Options:
    """`run` is the program and its arguments: a name that is looked for on a fixed PATH, or a path below `folder`.

    `folder` is where it runs, by default that of the fleet file. `environment` are variables that it has beside those
    of this check; secrets among them are references. Exit codes in `pass_codes` pass, those in `fail_codes` fail, all
    others are unknown.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    run: Sequence[str]
    folder: str = field(default=".", metadata={"path": True})
    environment: Mapping[str, str] = field(default_factory=dict)
    pass_codes: Sequence[int] = (0,)
    fail_codes: Sequence[int] = (1,)

    def __post_init__(self) -> None:
        if isinstance(self.run, str) or not self.run or not self.run[0] or any("\0" in each for each in self.run):
            raise ValueError("run is a list: the program and its arguments")
        if not self.folder:
            raise ValueError("folder is where the program runs")
        for name, value in self.environment.items():
            if not _NAME.fullmatch(name) or name.startswith("ROLLOUT_") or "\0" in value:
                raise ValueError("environment has plain names, and none of ROLLOUT_…, which this check sets itself")
        if not self.pass_codes or not all(0 <= code <= 255 for code in (*self.pass_codes, *self.fail_codes)):
            raise ValueError("pass_codes and fail_codes are exit codes from 0 to 255, with at least one that passes")
        if set(self.pass_codes) & set(self.fail_codes):
            raise ValueError("no exit code is in pass_codes and in fail_codes")


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    with Deadline(subject.timeout_s) as deadline:
        try:
            variables, secrets = _variables(options, subject, deadline)
        except Refused as refused:
            return Verdict.unknown(f"was not asked: {refused}")
        program = _program(options)
        if program is None:
            return Verdict.unknown(f"{short(options.run[0], 80)} is not there, or is no program")
        try:
            code, said = _run([program, *options.run[1:]], variables, options.folder, deadline)
        except OSError as error:
            return Verdict.unknown(f"{short(options.run[0], 80)} cannot be started: {error.strerror}")
    return _judge(options, code, _readable(said, secrets), subject.timeout_s)


def _judge(options: Options, code: int | None, said: str, timeout_s: float) -> Verdict:
    program = short(Path(options.run[0]).name, 80)
    evidence: dict[str, Any] = {
        "run": [short(each, 120) for each in options.run[:20]],
        "exit_code": code,
        "output": said,
    }
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
    told = f": {short(last)}" if last else ""
    if code is None:
        return Verdict.unknown(f"{program} did not end within {timeout_s:g} s{told}", **evidence)
    if code < 0:
        return Verdict.unknown(f"{program} was ended by signal {-code}{told}", **evidence)
    if code in options.pass_codes:
        return Verdict.passed(f"{program} says yes{told}", **evidence)
    if code in options.fail_codes:
        return Verdict.failed(f"{program} says no (exit code {code}){told}", **evidence)
    return Verdict.unknown(f"{program} ended with exit code {code}, which says neither{told}", **evidence)


def _variables(options: Options, subject: Subject, deadline: Deadline) -> tuple[dict[str, str], Sequence[str]]:
    """The program's whole environment, and what of it must not be shown; Refused for an address that may not be."""
    route = _test_route(subject)
    if route.url.startswith("http"):
        sources.of_test_route(route.url, deadline)
    running = [one for one in subject.readings.instances(subject.slot) if one.state == "running"]
    for instance in running:
        sources.of_instance(instance)
    images = sorted(subject.patch.images.values()) if subject.patch else []
    known = {
        "PATH": PATH,
        "HOME": pwd.getpwuid(os.getuid()).pw_dir,
        "LANG": "C.UTF-8",
        "ROLLOUT_SERVICE": subject.readings.service.name,
        "ROLLOUT_SLOT": subject.slot,
        "ROLLOUT_ROLE": subject.role,
        "ROLLOUT_IMAGES": " ".join(images),
        "ROLLOUT_TEST_URL": route.url,
        "ROLLOUT_TEST_HEADERS": json.dumps(dict(route.headers)),
        "ROLLOUT_INSTANCES": " ".join(instance.address for instance in running),
    }
    shown = {subject.slot, subject.beside}  # a slot's name in a header is no secret
    return {**known, **options.environment}, [value for value in route.headers.values() if value not in shown]


def _test_route(subject: Subject) -> TestRoute:
    """A service without a balancer has none, and its program finds the slot by other means."""
    try:
        route: TestRoute = subject.readings.test_route(subject.slot)
        return route
    except Invalid:
        return TestRoute("")


def _program(options: Options) -> str | None:
    if "/" not in options.run[0]:
        return shutil.which(options.run[0], path=PATH)
    path = Path(options.folder).absolute() / options.run[0]
    return str(path) if path.is_file() and os.access(path, os.X_OK) else None


def _run(
    argv: Sequence[str], variables: Mapping[str, str], folder: str, deadline: Deadline
) -> tuple[int | None, bytes]:
    """Exit code (None: it was killed because its time was over) and the end of what was printed. Raises OSError."""
    child = subprocess.Popen(
        argv,
        env=variables,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
    )
    process = psutil.Process(child.pid)
    try:
        said = _until_its_end(child, process, deadline)
    finally:
        ended = _has_ended(process)
        # Before it is waited for: until then its number, which is that of its group, belongs to nobody else.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        code = child.wait(KILL_S)
        if child.stdout is not None:
            child.stdout.close()
    return code if ended else None, said


def _until_its_end(child: subprocess.Popen[bytes], process: psutil.Process, deadline: Deadline) -> bytes:
    """The end of what it printed by then; what its own children still print later is not waited for."""
    said = b""
    with selectors.DefaultSelector() as selector:
        stream: IO[bytes] = child.stdout  # type: ignore[assignment]
        os.set_blocking(stream.fileno(), False)
        selector.register(stream, selectors.EVENT_READ)
        while deadline.left and not _has_ended(process):
            if not selector.select(min(POLL_S, deadline.left)):
                continue
            more = os.read(stream.fileno(), READ_BYTES)
            if not more and selector.get_map():
                selector.unregister(stream)  # it printed its last; from now on only its end is waited for
            said = (said + more)[-2 * KEPT_BYTES :]
        with suppress(BlockingIOError):
            for _ in range(PIPE_BYTES // READ_BYTES):
                said = (said + os.read(stream.fileno(), READ_BYTES))[-2 * KEPT_BYTES :]
    return said


def _has_ended(process: psutil.Process) -> bool:
    """Without taking its exit code: a process that was waited for gives its number away."""
    return process.status() == psutil.STATUS_ZOMBIE


def _readable(said: bytes, secrets: Sequence[str]) -> str:
    text = said.decode("utf-8", "replace")
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "…")
    return _UNPRINTABLE.sub("\ufffd", text)[-KEPT_BYTES:]  # cut last: half a secret could not be recognised
