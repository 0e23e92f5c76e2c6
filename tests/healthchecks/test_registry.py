from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from healthchecks import registry
from healthchecks.base import Verdict
from healthchecks.guard import EVIDENCE_BYTES, short
from healthchecks.registry import UnknownCheck, ask_safely, known_checks, load
from providers.base import Denied, Throttled
from tests.healthchecks.fakes import World

FIRST = {"balancer", "failed_responses", "fidelity", "http", "vulnerabilities"}


def _ask(answer: Any) -> Verdict:
    def ask(options: Any, subject: Any) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return ask_safely(cast(Any, SimpleNamespace(Options=object, ask=ask)), None, World().subject())


def test_the_checks_are_known_by_being_there() -> None:
    """Otherwise a check that was shipped cannot be configured."""
    assert set(known_checks()) >= FIRST


def test_library_modules_are_no_checks() -> None:
    """Otherwise a configuration can name something that asks nothing."""
    assert not {"base", "registry", "guard", "fetch", "addresses", "__init__"} & set(known_checks())


def test_looking_for_checks_imports_none_of_them() -> None:
    """Otherwise each command, and a rollback at night, pays for libraries that it does not use."""
    program = "import sys; from healthchecks.registry import known_checks; known_checks(); print(*sys.modules)"
    root = Path(registry.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {f"healthchecks.{name}" for name in known_checks()}
    assert not loaded & {"httpx", "pydantic"}


@pytest.mark.parametrize("name", ["http", "healthchecks.http", "healthchecks.http:ask"])
def test_a_check_is_loaded_by_its_name_or_path(name: str) -> None:
    """Otherwise checks of one's own cannot be used."""
    assert load(name).Options.__module__ == "healthchecks.http"


@pytest.mark.parametrize(
    ("name", "nearest"), [("htpp", "http"), ("Balancer", "balancer"), ("failed-response", "failed_responses")]
)
def test_an_unknown_name_lists_the_known_and_the_nearest(name: str, nearest: str) -> None:
    """Otherwise a slip of the pen costs a search through the documentation."""
    with pytest.raises(UnknownCheck, match=f"did you mean {nearest}.*Known: .*vulnerabilities"):
        load(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "base", "registry", "../http", "healthchecks.base", "healthchecks.nothing", "no_such.package"),
        *("os.path", "healthchecks.http:Options", "healthchecks..http", ".http", "healthchecks.http:", "x y.z"),
    ],
)
def test_what_is_not_a_check_is_refused(name: str) -> None:
    """Otherwise a mistake shows only when the check is asked in the middle of a rollout."""
    with pytest.raises(UnknownCheck):
        load(name)


def test_a_check_that_breaks_on_import_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a broken check of one's own ends the program with a traceback of ours."""
    (tmp_path / "broken_checks").mkdir()
    (tmp_path / "broken_checks" / "mine.py").write_text("raise OSError('no disk')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UnknownCheck, match=r"broken_checks\.mine.*OSError: no disk"):
        load("broken_checks.mine")


def test_a_sound_verdict_is_passed_on() -> None:
    """Otherwise checks of one's own are never heard."""
    verdict = Verdict.failed("no", count=1)
    assert _ask(verdict) is verdict


@pytest.mark.parametrize("error", [Denied("no rights"), Throttled("too often")])
def test_a_providers_error_is_unknown_with_its_kind(error: Exception) -> None:
    """Otherwise missing rights and a busy platform look the same, and nobody knows what to do."""
    verdict = _ask(error)
    assert (verdict.answer, verdict.evidence["error"]) == ("unknown", type(error).__name__)
    assert str(error) in verdict.summary


def test_a_crash_is_unknown_and_not_the_end() -> None:
    """Otherwise one faulty check stops the watch over a rollout that has traffic."""
    verdict = _ask(ZeroDivisionError("division by zero"))
    assert (verdict.answer, verdict.summary) == ("unknown", "check crashed: ZeroDivisionError: division by zero")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_ends_the_program_passes_through(error: BaseException) -> None:
    """Otherwise Ctrl-C is taken for a verdict, and traffic is not put back."""
    with pytest.raises(type(error)):
        _ask(error)


@pytest.mark.parametrize("answer", [None, True, "pass", {"answer": "pass"}, Verdict(cast(Any, "ok"), "fine")])
def test_what_is_not_a_verdict_never_passes(answer: Any) -> None:
    """Otherwise a check that returns True by mistake waves everything through."""
    assert _ask(answer).answer == "unknown"


@pytest.mark.parametrize("evidence", [{"a": object()}, {"a": float("nan")}, {"a": {1, 2}}, {"a": b"x"}, [1], None])
def test_evidence_that_cannot_be_kept_is_unknown(evidence: Any) -> None:
    """Otherwise the journal breaks on a verdict, or keeps one that cannot be read back."""
    assert _ask(Verdict("pass", "fine", evidence)).answer == "unknown"


def test_evidence_without_measure_is_cut_and_that_is_said() -> None:
    """Otherwise one check fills the store."""
    verdict = _ask(Verdict.failed("no", pages=["x" * EVIDENCE_BYTES]))
    assert (verdict.answer, list(verdict.evidence)) == ("fail", ["evidence_cut"])
    small = _ask(Verdict.failed("no", severity=0.25, pages=["x" * EVIDENCE_BYTES]))
    assert (small.severity, list(small.evidence)) == (0.25, ["evidence_cut"])


@pytest.mark.parametrize("severity", [-0.1, 1.1, 60, float("nan"), float("inf"), "much", None])
def test_a_severity_that_is_no_share_is_unknown(severity: Any) -> None:
    """Otherwise a check that answers in per cent calls every failure far worse, or the journal keeps no number."""

    def ask(options: Any, subject: Any) -> Verdict:
        return Verdict.failed("no", severity=severity)

    verdict = ask_safely(cast(Any, SimpleNamespace(Options=object, ask=ask)), None, World().subject())
    assert verdict.answer == "unknown"


def test_texts_are_shortened_to_one_line() -> None:
    """Otherwise an error page of a platform becomes the summary of a verdict."""
    assert short("a\n b\tc") == "a b c"
    assert len(short("x" * 10_000)) == 200
