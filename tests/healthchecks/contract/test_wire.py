"""What holds for every check that connects by itself, whatever the other side says."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from healthchecks.registry import load
from tests.healthchecks.contract.cases import CASES
from tests.healthchecks.contract.stage import Stage
from tests.healthchecks.contract.test_checks import EVIDENCE_LIMIT, NETWORK, _check, _imports
from tests.healthchecks.rubbish import KINDS, TAKEN_AT_MOST
from tests.healthchecks.servers import Servers

PROGRAMS = {"subprocess"}  # are asked, too, but over no wire
TIMEOUT_S = 0.4


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_check_that_connects_gets_rubbish(name: str) -> None:
    """Otherwise a new check goes into gates that a port scanner's answer can pass or hang."""
    if CASES[name].wire is None:
        assert not _imports(name) & (NETWORK - PROGRAMS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if case.wire is not None))
def test_rubbish_on_the_wire_never_passes(name: str, kind: str, servers: Servers, tmp_path: Path) -> None:
    """Otherwise what merely listens there passes for the service, or holds up the gate and with it the way back."""
    rubbish, wire = KINDS[kind](), CASES[name].wire
    assert wire is not None
    options, world = wire(rubbish.talk)(Stage(servers, tmp_path))
    began = time.monotonic()
    verdict = load(_check(name)).ask(options, world.subject(timeout_s=TIMEOUT_S))
    took, taken = time.monotonic() - began, dict(rubbish.taken)
    assert verdict.answer in ("fail", "unknown"), verdict
    assert "crashed" not in verdict.summary, verdict
    assert took < TIMEOUT_S + 2.5
    assert max(taken.values(), default=0) <= TAKEN_AT_MOST, "it is read to a bound"
    text = json.dumps(dict(verdict.evidence), allow_nan=False)
    assert len(text) < EVIDENCE_LIMIT
    assert 0 < len(verdict.summary) < 1000
    assert verdict.summary.isprintable(), "nothing of it gets onto a terminal as it came"
