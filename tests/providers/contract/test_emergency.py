"""Every provider's rollback.py: one command at night, without engine, store or settings."""

from __future__ import annotations

import json

import pytest

from providers.base import Conflict, HoldMark, Invalid, NotFound, Weights, plain, weights_for
from tests.providers.contract.steps import Drive

BACK: Weights = {"blue": 100, "green": 0}
MARK = HoldMark("rollout-1", 3, "blue", "ana", 1_767_225_600.0, "errors")


def test_read_says_where_traffic_is_and_who_can_serve(mirrored: Drive) -> None:
    """Otherwise a person puts traffic back without knowing whether anything is there to take it."""
    mirrored.move("green", mirrored.harness.part)
    seen = mirrored.harness.rollback.read(mirrored.traffic.card_target(mirrored.service))
    assert set(seen) == {"weights", "revision", "mark", "healthy", "unhealthy", "unknown", "in_flight"}
    assert seen["weights"] == weights_for("green", mirrored.harness.part)
    assert seen["revision"] == mirrored.route().revision
    assert seen["mark"] is None
    assert seen["healthy"] == {"blue": 2, "green": 2}
    assert seen["unhealthy"] == seen["unknown"] == {"blue": 0, "green": 0}
    assert set(seen["in_flight"]) == {"blue", "green"}
    assert json.loads(json.dumps(seen)) == seen


def test_read_accounts_for_every_target(mirrored: Drive) -> None:
    """Otherwise "nobody there is healthy" is said of a side that only has to be asked, and nobody dares to go back."""
    read, target = mirrored.harness.rollback.read, mirrored.traffic.card_target(mirrored.service)
    mirrored.harness.kill(mirrored.service, mirrored.running("green")[0])
    mirrored.settle(lambda: read(target)["healthy"]["green"] == 1, "the balancer never noticed a dead target")
    seen = read(target)
    assert seen["unhealthy"]["green"] + seen["unknown"]["green"] == 1
    assert [seen[word]["blue"] for word in ("healthy", "unhealthy", "unknown")] == [2, 0, 0]


def test_put_back_moves_all_traffic(mirrored: Drive) -> None:
    """Otherwise the one command that must work at night does not."""
    target = json.loads(json.dumps(mirrored.traffic.card_target(mirrored.service)))
    mirrored.move("green", 100)
    after = mirrored.harness.rollback.put_back(target, BACK, "emergency-1")
    assert after["weights"] == BACK
    assert mirrored.route().weights == BACK
    mirrored.settle(lambda: mirrored.reading().route.weights == BACK, "clients never followed")


def test_put_back_twice_is_harmless(mirrored: Drive) -> None:
    """Otherwise pressing the button again makes things worse."""
    target = mirrored.traffic.card_target(mirrored.service)
    mirrored.move("green", 100)
    mirrored.harness.rollback.put_back(target, BACK, "emergency-1")
    before = mirrored.state()
    assert mirrored.harness.rollback.put_back(target, BACK, "emergency-1")["weights"] == BACK
    assert mirrored.harness.rollback.put_back(target, BACK, "emergency-2")["weights"] == BACK
    assert mirrored.state() == before


def test_put_back_goes_over_a_persons_edit(mirrored: Drive) -> None:
    """Otherwise a half-done repair by hand stops the rollback."""
    mirrored.harness.edit_route(mirrored.service, mirrored.harness.by_hand)
    after = mirrored.harness.rollback.put_back(mirrored.traffic.card_target(mirrored.service), BACK, "emergency-1")
    assert after["weights"] == mirrored.route().weights == BACK


def test_put_back_never_empties_the_route(mirrored: Drive) -> None:
    """Otherwise a damaged card takes the service down."""
    target = mirrored.traffic.card_target(mirrored.service)
    with pytest.raises(Invalid):
        mirrored.harness.rollback.put_back(target, {"blue": 0, "green": 0}, "emergency-1")
    assert mirrored.route().weights == BACK


def test_the_mark_is_the_one_that_engines_read(mirrored: Drive) -> None:
    """Otherwise an engine moves traffic forward again after the rollback has said that it is done."""
    target = mirrored.traffic.card_target(mirrored.service)
    mirrored.harness.rollback.set_mark(target, plain(MARK), "emergency-1")
    assert mirrored.route().mark == MARK
    assert mirrored.harness.rollback.read(target)["mark"] == plain(MARK)
    mirrored.harness.rollback.set_mark(target, None, "emergency-2")
    assert mirrored.route().mark is None
    assert mirrored.harness.rollback.read(target)["mark"] is None


def test_an_engine_that_read_before_the_rollback_is_refused(mirrored: Drive) -> None:
    """Otherwise a forward write that was already on its way undoes the rollback."""
    if not mirrored.harness.has_cas:
        pytest.skip("this platform has no compare-and-set; the emergency path reads back instead")
    mirrored.move("green", mirrored.harness.part)
    seen = mirrored.route()
    mirrored.harness.rollback.put_back(mirrored.traffic.card_target(mirrored.service), BACK, "emergency-1")
    with pytest.raises(Conflict):
        mirrored.traffic.set_weights(mirrored.service, {"blue": 0, "green": 100}, seen, mirrored.token())
    assert mirrored.route().weights == BACK


def test_a_service_that_is_gone_is_not_found(mirrored: Drive) -> None:
    """Otherwise an old card seems to work, and nothing has happened."""
    unknown = mirrored.harness.unknown_service()
    target = mirrored.traffic.card_target(mirrored.service)
    foreign = json.loads(json.dumps(target).replace(f'"{mirrored.service.name}"', f'"{unknown.name}"'))
    if foreign == target:
        pytest.skip("this provider's card does not hold the service's name as it is")
    with pytest.raises(NotFound):
        mirrored.harness.rollback.read(foreign)


def test_an_instance_leads_to_its_service(mirrored: Drive) -> None:
    """Otherwise the person whose alarm names a host has to look up what it is of."""
    matches = getattr(mirrored.harness.rollback, "matches", None)
    if matches is None:
        pytest.skip("this provider knows its services by name only")
    target = json.loads(json.dumps(mirrored.traffic.card_target(mirrored.service)))
    hosts = [*mirrored.running("blue"), *mirrored.running("green")]
    assert [matches(target, host.id) for host in hosts] == [True] * len(hosts)
    addresses = [each for host in hosts for each in (host.address, host.address.rpartition(":")[0])]
    assert any(matches(target, address) for address in addresses if address)
    assert not any(matches(target, named) for named in ("i-0123456789abcdef0", "203.0.113.9", "nothing", ""))


def test_what_stays_on_the_side_that_traffic_left_can_be_cut(mirrored: Drive) -> None:
    """Otherwise users with long connections stay on the bad side for hours."""
    cut = getattr(mirrored.harness.rollback, "cut", None)
    if cut is None:
        pytest.skip("this platform ends no connection on demand")
    target = mirrored.traffic.card_target(mirrored.service)
    mirrored.move("green", 100)
    mirrored.harness.rollback.put_back(target, BACK, "emergency-1")
    mirrored.settle(lambda: mirrored.reading().route.weights == BACK, "clients never followed")
    first, again = (cut(target, "green", f"emergency-cut-{number}") for number in (1, 2))
    assert first >= 0 and again == 0
    assert mirrored.route().weights == BACK and mirrored.healthy("blue") == 2
