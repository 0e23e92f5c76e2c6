"""Built images: <root>/images/<digest>/…, made aside and renamed when complete."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from providers.base import Clock, Invalid, Transient
from providers.local.balancer.store import sync_folder
from providers.local.files import locked, read_json, write_json
from providers.local.images import Source, checked_digest, digest_of

MANIFEST = "image.json"
BUILD_TIMEOUT_S = 900.0
TAIL_LINES = 8
_NETWORK = re.compile(
    r"timed? ?out|connection (error|reset|refused|aborted)|in name resolution|max retries", re.IGNORECASE
)


class Builds:
    """The built images of one state folder, shared by all of its services."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root / "images"
        self._clock = clock

    def path(self, digest: str) -> Path:
        """Raises Invalid."""
        return self.root / checked_digest(digest).removeprefix("sha256:")

    def manifest(self, digest: str) -> Mapping[str, Any] | None:
        """What a built image is made of; None while it is not built, or when what is there is damaged.

        It is written last, when all the rest is on disk. Raises Invalid.
        """
        try:
            manifest: Mapping[str, Any] = read_json(self.path(digest) / MANIFEST)
            content = {key: value for key, value in manifest.items() if key != "name"}
        except (ValueError, AttributeError):
            return None
        return manifest if "name" in manifest and digest_of(content) == digest else None

    def python(self, digest: str) -> Path:
        return self.path(digest) / "env" / "bin" / "python"

    def site_packages(self, digest: str) -> Path | None:
        return next(self.path(digest).glob("env/lib/python*/site-packages"), None)

    def argv(self, digest: str, command: Sequence[str], port: int) -> list[str]:
        """The command with its placeholders filled in."""
        values = {
            "{python}": str(self.python(digest)),
            "{image}": str(self.path(digest) / "files"),
            "{port}": str(port),
        }
        pattern = re.compile("|".join(map(re.escape, values)))
        return [pattern.sub(lambda found: values[found[0]], part) for part in command]

    def digest_in(self, text: str) -> str | None:
        """The digest of the built image that a path lies in."""
        found = re.search(re.escape(str(self.root)) + r"/([0-9a-f]{64})(/|$)", text)
        return f"sha256:{found[1]}" if found else None

    def build(self, source: Source) -> Path:
        """The image's folder, built if needed (seconds to minutes). One build of a digest at a time.

        What a killed build left is removed by the next one. Raises Invalid with the end of pip's output and
        where all of it is; Transient when the network failed or it took longer than BUILD_TIMEOUT_S.
        """
        target = self.path(source.digest)
        lock = self.root / f".lock-{target.name}"
        complaint = f"image {source.name} is being built by another process for {BUILD_TIMEOUT_S:.0f} s"
        with locked(lock, self._clock, BUILD_TIMEOUT_S, complaint) as held:
            if self.manifest(source.digest) is not None:
                return target
            for leftover in self.root.glob(f".build-{target.name[:12]}-*"):
                shutil.rmtree(leftover)
            aside = Path(tempfile.mkdtemp(prefix=f".build-{target.name[:12]}-", dir=self.root))
            damaged = aside.with_name(f"{aside.name}-damaged")
            try:
                self._fill(aside, source, held)
                if target.exists():
                    target.rename(damaged)
                aside.rename(target)
                sync_folder(self.root)
            finally:
                for leftover in (aside, damaged):
                    shutil.rmtree(leftover, ignore_errors=True)
        return target

    def _fill(self, folder: Path, source: Source, held: int) -> None:
        for name, content in source.files.items():
            path = folder / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (folder / "files").mkdir(exist_ok=True)
        lock, env = folder / "requirements.lock", folder / "env"
        lock.write_bytes(source.lock)
        steps = [[sys.executable, "-m", "venv", "--without-pip", str(env)]]
        if source.has_packages:
            python = str(env / "bin" / "python")
            pip = [sys.executable, "-m", "pip", "--no-input", "--python", python, "install"]
            steps.append([*pip, "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(lock)])
        for step in steps:
            self._run(step, folder / "build.log", source, held)
        _sync(folder)
        write_json(folder / MANIFEST, {**source.manifest, "name": source.name})

    def _run(self, command: list[str], log: Path, source: Source, held: int) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        with log.open("ab") as output:
            # A session of its own: a Ctrl-C is for us to handle. It inherits the lock, so that after we were
            # killed nobody builds this image until the orphan is done writing, too.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=[held],
            )
            try:
                code = process.wait(BUILD_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                complaint = f"image {source.name}: the build took longer than {BUILD_TIMEOUT_S:.0f} s"
                raise Transient(complaint) from None
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if code:
            raise self._failure(log, source, code)

    def _failure(self, log: Path, source: Source, code: int) -> Invalid | Transient:
        kept = self.root / f"failed-{self.path(source.digest).name[:12]}.log"
        text = log.read_text(errors="replace")
        log.replace(kept)
        tail = "\n".join(text.strip().splitlines()[-TAIL_LINES:])
        kind = Transient if _NETWORK.search(text) else Invalid
        return kind(f"image {source.name} cannot be built (exit code {code}); see {kept}:\n{tail}")


def _sync(folder: Path) -> None:
    """All of it on disk, so that nothing that is named later can be missing after a power loss."""
    for path, _, names in os.walk(folder):
        for name in names:
            file = Path(path, name)
            if not file.is_symlink():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        sync_folder(Path(path))
