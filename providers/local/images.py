"""Images as people write them: a folder with image.yaml, files and a hashed lock; known by digest."""

from __future__ import annotations

import difflib
import hashlib
import json
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from providers.base import Invalid, NotFound

MANIFEST = "image.yaml"
KEYS = ("command", "files", "lock")
PLACEHOLDERS = ("{python}", "{image}", "{port}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_HASH = r"--hash=sha(256|384|512):[0-9a-fA-F]{64,128}"
_PINNED = re.compile(rf"[A-Za-z0-9][\w.-]*(\[[\w.,\s-]*\])?\s*==\s*[\w.!+-]+\s*(;[^#]*?)?(\s+{_HASH})+")


def python_tag() -> str:
    """The interpreter that environments are built for: `cpython-3.11`."""
    return f"{sys.implementation.name}-{'.'.join(platform.python_version_tuple()[:2])}"


def checked_digest(text: str) -> str:
    """The same text. Raises Invalid: a digest becomes a path, and must not lead anywhere else."""
    if not DIGEST.fullmatch(text):
        raise Invalid(f"{text!r} is no image's digest; sha256: and 64 digits of 0-9 and a-f are needed")
    return text


def digest_of(manifest: Mapping[str, Any]) -> str:
    return "sha256:" + _sha(json.dumps(manifest, sort_keys=True).encode())


@dataclass(frozen=True)
class Source:
    """An image's content, read once: what is hashed is what is built. files: name in the image → content."""

    name: str
    command: tuple[str, ...]
    lock: bytes
    files: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """`sha256:…` over command, lock, files and the Python they are built for."""
        return digest_of(self.manifest)

    @property
    def manifest(self) -> dict[str, Any]:
        """What the digest is over, as plain data."""
        files = {name: _sha(content) for name, content in sorted(self.files.items())}
        lock, python = _sha(self.lock), python_tag()
        return {"command": list(self.command), "files": files, "lock": lock, "python": python}

    @property
    def has_packages(self) -> bool:
        return bool(_requirements(self.lock.decode()))


def app_version(manifest: Mapping[str, Any]) -> str:
    """The application without its packages: equal before and after a patch."""
    return _sha(json.dumps([manifest["command"], manifest["files"]], sort_keys=True).encode())[:12]


class ImageFolder:
    """The folder of images. Files of an image may lie anywhere below the folder's parent, never outside.

    port: their instances have to be told a port; those of a service without a balancer need none.
    """

    def __init__(self, path: Path, port: bool = True) -> None:
        self.path, self._port = path.resolve(), port

    def names(self) -> list[str]:
        return sorted(found.parent.name for found in self.path.glob(f"*/{MANIFEST}"))

    def load(self, name: str) -> Source:
        """Raises NotFound naming the known ones, nearest first; Invalid naming file and key."""
        if name not in self.names():
            raise NotFound(f"no image {name!r} in {self.path}; {self._known(name)}")
        folder = self.path / name
        document = _document(folder / MANIFEST, self._port)
        files: dict[str, bytes] = {}
        for item in document["files"]:
            path = self._inside(folder, item, "files")
            # What is shared between images lies outside of them and is known by its own name.
            own = path.is_relative_to(folder.resolve())
            target = path.relative_to(folder.resolve()).as_posix() if own else path.name
            if target in files:
                raise Invalid(f"{folder / MANIFEST}: files: two are called {target!r} inside the image")
            files[target] = path.read_bytes()
        lock = self._inside(folder, document["lock"], "lock")
        content = lock.read_bytes()
        _check_lock(lock, content)
        return Source(name, tuple(document["command"]), content, files)

    def find(self, digest: str) -> Source:
        """The image that has this digest now. Raises NotFound."""
        for name in self.names():
            try:
                source = self.load(name)
            except Invalid:
                continue  # a broken neighbour is that image's problem
            if source.digest == digest:
                return source
        changed = "changed since it was planned?"
        raise NotFound(f"no image in {self.path} is {digest} ({changed}); {self._known('')}")

    def _known(self, name: str) -> str:
        names = self.names()
        nearest = difflib.get_close_matches(name, names, n=len(names), cutoff=0.0) if name and names else names
        known = ", ".join(f"{item} ({self._digest(item)})" for item in nearest)
        return f"known are {known}" if names else f"it holds no folder with an {MANIFEST}"

    def _digest(self, name: str) -> str:
        try:
            return self.load(name).digest
        except Invalid:
            return "cannot be read"

    def _inside(self, folder: Path, item: str, key: str) -> Path:
        path, root = (folder / item).resolve(), self.path.parent
        if Path(item).is_absolute() or not path.is_relative_to(root):
            allowed = f"a relative path inside of {root} is needed"
            raise Invalid(f"{folder / MANIFEST}: {key}: {item!r} is outside; {allowed}")
        if not path.is_file():
            raise Invalid(f"{folder / MANIFEST}: {key}: {item!r} is not a file")
        return path


def _document(path: Path, port: bool) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise Invalid(f"{path}: cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise Invalid(f"{path}: a mapping with the keys {', '.join(KEYS)} is needed")
    unknown = sorted(str(key) for key in set(document) - set(KEYS))
    if unknown:
        raise Invalid(f"{path}: unknown keys {', '.join(unknown)}; known are {', '.join(KEYS)}")
    if not _texts(document.get("command")) or not document["command"]:
        raise Invalid(f"{path}: command: a list like ['{{python}}', '{{image}}/app.py', …] is needed")
    if not _texts(document.setdefault("files", [])):
        raise Invalid(f"{path}: files: a list of relative paths is needed")
    if not isinstance(document.get("lock"), str):
        raise Invalid(f"{path}: lock: the name of a hashed requirements file is needed (it may be empty)")
    _check_command(path, document["command"], port)
    return document


def _check_command(path: Path, command: list[str], port: bool) -> None:
    used = {found for part in command for found in _PLACEHOLDER.findall(part)}
    unknown = sorted(used - set(PLACEHOLDERS))
    if unknown:
        raise Invalid(f"{path}: command: unknown {', '.join(unknown)}; known are {', '.join(PLACEHOLDERS)}")
    if (port and "{port}" not in used) or not used & {"{python}", "{image}"}:
        # Without a path of the image in it, nobody could tell which image a process runs.
        needed = f"{'{port}, and ' if port else ''}{{python}} or {{image}}"
        raise Invalid(f"{path}: command: {needed}, have to be in it")


def _check_lock(path: Path, content: bytes) -> None:
    try:
        lines = _requirements(content.decode())
    except UnicodeError:
        raise Invalid(f"{path}: UTF-8 text is needed") from None
    for line in lines:
        if not _PINNED.fullmatch(line):
            allowed = "only name==version with --hash=sha256:… is allowed (pip's own settings say where from)"
            raise Invalid(f"{path}: {line[:80]!r}: {allowed}")


def _requirements(text: str) -> list[str]:
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def _texts(value: object) -> bool:
    if not isinstance(value, list):
        return False
    return all(isinstance(item, str) and item and "\0" not in item for item in value)


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
