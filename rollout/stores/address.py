"""Where a store is: the SQLite file in the state folder, or a PostgreSQL address, whose password is shown nowhere.

Standard library only: the emergency path opens the store through this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rollout import state_dir
from rollout.database import StoreError

SCHEMES = ("postgresql://", "postgres://")
_SECRET = ("password", "sslpassword", "passfile")
_SHORTEST = 3
"""A shorter password is in every other word, and a message without those says nothing."""


@dataclass(frozen=True, slots=True)
class Address:
    """A PostgreSQL address. `label` is it without its password, for people."""

    url: str = field(repr=False)
    label: str
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def clean(self, text: str) -> str:
        """A message of the database, in which the address and its password do not stand."""
        for secret in (self.url, *self.secrets):
            text = text.replace(secret, self.label if secret == self.url else "…")
        return text


def address_of(url: str) -> Address:
    """Raises StoreError, which does not repeat what is wrong: there may be a password in it."""
    from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

    if not url.startswith(SCHEMES):
        raise StoreError("`store:` is no postgresql:// address (it is not shown, for there may be a password in it)")
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise StoreError("`store:` is no address that can be read (it is not shown)") from None
    login, at, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    hidden = {password, unquote(password)}
    hidden |= {form for name, value in query if name in _SECRET for form in (value, quote(value))}
    shown = urlencode([(name, value) for name, value in query if name not in _SECRET], safe="/,", quote_via=quote)
    label = f"postgresql://{user}{at}{hosts}{parts.path}{'?' if shown else ''}{shown}"
    longest_first = sorted((each for each in hidden if len(each) >= _SHORTEST), key=len, reverse=True)
    return Address(url, label, tuple(longest_first))


def has_password(url: str) -> bool:
    """Whether it is a secret itself."""
    try:
        return bool(address_of(url).secrets)
    except StoreError:
        return True


def store_of(fleet_file: Path) -> Path | Address:
    """Where the store of a fleet is. Raises OSError, StateUnreadable, StoreError."""
    written = state_dir.written_store(state_dir.head_of(fleet_file))
    if written is None:
        return state_dir.store_file_of(fleet_file)
    return address_of(written if isinstance(written, str) else _read(written, fleet_file.absolute().parent))


def read_written(to: str, fleet_file: Path) -> tuple[Path | Address, str]:
    """Where `env:NAME`, `file:PATH`, an address or `sqlite` leads, and what the fleet file has to say for it."""
    kind, _, name = to.partition(":")
    if to == "sqlite":
        return state_dir.store_file_of(fleet_file), "remove the line that begins with `store:`"
    if kind in ("env", "file") and name:
        return address_of(_read({kind: name}, fleet_file.absolute().parent)), f"store: {{{kind}: {name}}}"
    address = address_of(to)
    if address.secrets:
        return address, "store: {file: PATH}, a file with the address in it, which only who may roll out can read"
    return address, f"store: {to}"


def _read(reference: Mapping[str, str], folder: Path) -> str:
    from rollout.notify.target import SecretMissing, read_secret

    if "file" in reference:
        reference = {"file": str(folder / Path(reference["file"]).expanduser())}
    try:
        return read_secret(reference)
    except SecretMissing as error:
        raise StoreError(f"the address of the store is not known: {error}") from None
