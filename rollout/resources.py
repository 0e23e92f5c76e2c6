"""The only reader of packaged data: example fleets, policies, schemas, sample advisories.

An installed program has them in rollout/_config; an editable install has none there and reads config/ in the
checkout.
"""

from pathlib import Path, PurePosixPath

_PACKAGED = Path(__file__).with_name("_config")
_CHECKOUT = Path(__file__).parent.parent


def path(name: str) -> Path:
    """The file called `name`, a relative name with forward slashes such as "schemas/fleet.json"."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"{name!r} is not the name of packaged data: it must be relative and stay inside")
    found = _root() / relative
    if not found.is_file():
        raise FileNotFoundError(f"no packaged data is called {name!r}; known: {', '.join(names())}")
    return found


def read_text(name: str) -> str:
    return path(name).read_text(encoding="utf-8")


def names() -> list[str]:
    root = _root()
    files = (found for found in root.rglob("*") if found.is_file() and found.parent.name != "__pycache__")
    return sorted(found.relative_to(root).as_posix() for found in files)


def _root() -> Path:
    if _PACKAGED.is_dir():
        return _PACKAGED
    # Only beside our own project file: below an installed package, "config" could be anybody's.
    if (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "config").is_dir():
        return _CHECKOUT / "config"
    raise FileNotFoundError(f"this installation is incomplete: {_PACKAGED} is missing; install it again")
