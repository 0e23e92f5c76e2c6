"""Where the store is, as the fleet file says it: both readers agree, and the password is shown nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.settings import SettingsErrors, load
from rollout.state_dir import StateUnreadable, written_store
from rollout.store import StoreError
from rollout.stores.address import Address, address_of, has_password, read_written, store_of
from rollout.stores.opening import open_store
from tests.settings.conftest import ToyCatalogue, service

SECRET = "hunter2-ä"
CODED = "hunter2-%C3%A4"
CHECKOUT = Path(__file__).parents[2]


def fleet(folder: Path, text: str) -> Path:
    """A fleet file that begins like that."""
    file = folder / "fleet.yaml"
    file.write_bytes((text + "\n" + service()).encode())
    return file


@pytest.mark.parametrize(
    ("line", "store"),
    [
        ("store: postgresql://me@db/rollout", "postgresql://me@db/rollout"),
        ("store: 'postgresql://me@db:5433/rollout?sslmode=verify-full&application_name=x'  # why", None),
        ("store: {env: ROLLOUT_STORE}", {"env": "ROLLOUT_STORE"}),
        ('"store": { env: "ROLLOUT_STORE" }   # why', {"env": "ROLLOUT_STORE"}),
        ("store: {file: secrets/store.url}", {"file": "secrets/store.url"}),
        ("store: {file: '/etc/a b'}", {"file": "/etc/a b"}),
    ],
)
def test_both_readers_agree_on_usual_forms(tmp_path: Path, line: str, store: object) -> None:
    """A rollback at night decides in another store than the one that drives."""
    file = fleet(tmp_path, line)
    assert load(file, ToyCatalogue()).store == written_store(file.read_text())
    assert store is None or written_store(file.read_text()) == store


VALUES = (
    st.from_regex(r"postgres(ql)?://[a-z@:/.?&=' #%{}-]{0,12}", fullmatch=True)
    | st.from_regex(r"\{ ?(env|file|host): ?['\"]?[A-Z/.# ,:'\"-]{0,6}['\"]? ?\} ?#?", fullmatch=True)
    | st.text(st.sampled_from("{}envfil:AB /'\"#,&*!|>-\n\t "), max_size=16)
    | st.sampled_from(
        ["", "\n  env: A", "{env: A,\n  }", "null", "5", "|\n  postgresql://a/b", "&a {env: B}", "sqlite"]
    )
)


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["store: ", "store:", "'store': ", " store: ", "store : "]), VALUES, st.booleans())
def test_both_readers_agree_on_whatever_is_accepted(tmp_path: Path, key: str, value: str, twice: bool) -> None:
    """One odd way to write `store:` sends the emergency path to another store."""
    file = fleet(tmp_path, f"{key}{value}" + ("\nstore: postgresql://other/db" if twice else ""))
    try:
        store = load(file, ToyCatalogue()).store
    except SettingsErrors:
        return
    assert written_store(file.read_text()) == store


@given(st.text())
def test_any_text_has_a_store_or_none_or_is_unreadable(text: str) -> None:
    """The emergency path falls over a file that is broken."""
    try:
        assert written_store(text) not in ("", {})
    except StateUnreadable as error:
        assert "`store" in str(error)


@pytest.mark.parametrize(
    "line",
    [
        f"store: postgresql://me:{SECRET}@db/rollout",
        f"store: postgresql://db/rollout?password={SECRET}",
        f"store: 'mysql://me:{SECRET}@db'",
        f"store: [{SECRET}]",
        "store: {env: lower}",
        "store: 5",
        "store:\n  env: ROLLOUT_STORE",
    ],
)
def test_what_is_refused_is_not_repeated(tmp_path: Path, line: str) -> None:
    """A password in a fleet file goes to whoever reads it, and once more to whoever reads what is wrong with it."""
    with pytest.raises(SettingsErrors) as refused:
        load(fleet(tmp_path, line), ToyCatalogue())
    assert "store" in str(refused.value) and SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "label"),
    [
        (f"postgresql://me:{CODED}@db:5433/rollout", "postgresql://me@db:5433/rollout"),
        (f"postgres://me:{CODED}@[::1]/rollout", "postgresql://me@[::1]/rollout"),
        (f"postgresql://db/r?sslmode=require&password={CODED}", "postgresql://db/r?sslmode=require"),
        (
            f"postgresql://me:{CODED}@a:1,b:2/r?options=-csearch_path%3Dx",
            "postgresql://me@a:1,b:2/r?options=-csearch_path%3Dx",
        ),
        ("postgresql:///rollout?host=/run/postgresql", "postgresql:///rollout?host=/run/postgresql"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, label: str) -> None:
    """The password of the database stands in every `status --json`."""
    address = address_of(url)
    assert (address.url, address.label) == (url, label)
    assert "hunter2" not in f"{address!r} {address.label}"
    if "hunter2" in url:
        assert address.clean(f"at {url}: {SECRET} or {CODED} is wrong").count("hunter2") == 0
    assert has_password(url) == ("hunter2" in url)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused_without_being_repeated(text: str) -> None:
    """A typing error in a secret prints the secret."""
    try:
        address_of(f"postgresql://{text}")
    except StoreError as error:
        assert text not in str(error) or len(text) < 12
    with pytest.raises(StoreError, match="not shown"):
        address_of(f"mysql://{text}")


def test_a_reference_is_read_when_the_store_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is not found after its password was changed, or is looked for in the wrong folder."""
    file = fleet(tmp_path, "store: {env: THE_STORE}")
    with pytest.raises(StoreError, match="the variable THE_STORE is not set"):
        store_of(file)
    monkeypatch.setenv("THE_STORE", f"postgresql://me:{CODED}@db/rollout\n")
    assert store_of(file) == address_of(f"postgresql://me:{CODED}@db/rollout")
    file = fleet(tmp_path, "store: {file: url}")
    (tmp_path / "url").write_text("postgresql://db/rollout")
    monkeypatch.chdir("/")
    assert store_of(file) == address_of("postgresql://db/rollout")
    (tmp_path / "url").write_text("not an address: hunter2")
    with pytest.raises(StoreError) as refused:
        store_of(file)
    assert "hunter2" not in str(refused.value)


def test_without_a_store_it_is_the_file_in_the_state_folder(tmp_path: Path) -> None:
    """An upgrade loses the history, because it looks for it elsewhere."""
    assert store_of(fleet(tmp_path, "state: kept")) == tmp_path / "kept" / "rollout.db"


@pytest.mark.parametrize(
    ("to", "line"),
    [
        ("postgresql://db/r", "store: postgresql://db/r"),
        ("env:THE_STORE", "store: {env: THE_STORE}"),
        ("file:url", "store: {file: url}"),
    ],
)
def test_what_to_write_is_said_as_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, line: str
) -> None:
    """After a move, a person writes a line that the program refuses."""
    monkeypatch.setenv("THE_STORE", "postgresql://db/r")
    (tmp_path / "url").write_text("postgresql://db/r")
    file = fleet(tmp_path, "state: s")
    where, said = read_written(to, file)
    assert (said, where) == (line, address_of("postgresql://db/r"))
    assert store_of(fleet(tmp_path, said)) == where
    load(file, ToyCatalogue())


def test_a_password_that_was_typed_is_not_said_again(tmp_path: Path) -> None:
    """The password goes from the command into the fleet file."""
    where, said = read_written(f"postgresql://me:{CODED}@db/r", fleet(tmp_path, "state: s"))
    assert isinstance(where, Address) and "hunter2" not in said and "file" in said
    assert read_written("sqlite", tmp_path / "fleet.yaml")[0] == tmp_path / "s" / "rollout.db"


def test_sqlite_is_opened_without_a_library(tmp_path: Path) -> None:
    """A rollback on one machine waits for the library of a database that it does not use."""
    file = fleet(tmp_path, "state: s")
    code = (
        "import sys\nfrom pathlib import Path\nfrom rollout.stores.opening import open_store\n"
        "open_store(Path(sys.argv[1]))\n"
        "print([name for name in ('psycopg', 'yaml', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"
    open_store(file, create=False).close()
