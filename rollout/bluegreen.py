"""The story of one rollout, and its way back. Read it from top to bottom.

Every line goes through the journal, so the story may be told again from the top at any time, by any process. It
reads the plan and the journal only: no settings, no clock. It never turns back by itself: a failed line ends the
job, the decision is journalled, and the next job tells `roll_back` instead.
"""

from __future__ import annotations

from providers.base import Slot, weights_for
from rollout import acts
from rollout.flow import TurnBack
from rollout.observer import Fact
from rollout.run import Run


def roll_out(run: Run) -> None:
    """Patch one service without changing what serves it."""
    original, replacement = run.plan.original, run.plan.replacement

    run.enter("preparing")
    run.gate("preflight", "preflight", on=original)
    run.once(acts.capture_original(run))
    turn_back_if_changed(run)
    run.once(acts.write_card(run))

    run.enter("mirroring")
    run.once(acts.mirror_original(run))
    run.once(acts.pin(run, "pin:original", original))

    run.enter("patching")
    applied = run.once(acts.patch_replacement(run))
    run.once(acts.grow(run, "launch", replacement))
    run.once(acts.pin(run, "pin:replacement", replacement))
    if needs_reboot(applied):
        run.once(acts.reboot_replacement(run))
    run.until("running", running(run), deadline="running")
    run.once(acts.attach(run, "attach", replacement))
    run.until("healthy", healthy(run), deadline="healthy")
    run.rest("settle", settled_at(run))

    run.enter("proving")
    run.gate("proof", "replacement", on=replacement)
    run.approval()

    run.enter("shifting")
    for number, percent in enumerate(run.plan.steps, start=1):
        weights = weights_for(replacement, percent)
        keep_up(run, number)
        run.once(acts.swap(run, f"swap:{number}:{percent}", weights))
        run.until(f"observed:{number}:{percent}", Fact("routed", weights=weights), deadline="observed")
        run.gate(f"live:{number}:{percent}", "live", on=replacement, tend=keep_floors)

    run.enter("baking")
    run.gate("bake", "bake", on=replacement, tend=keep_floors)
    promoted = run.once(acts.write_card(run, "promote", valid_for_s=run.plan.keep_warm_s))

    run.enter("warm", "promoted")
    run.watch(
        "keep-warm",
        promoted["valid_until"],
        "live",
        on=replacement,
        unless=lambda: run.journal.warm_ended is not None,
        lacking=lambda: run.began_with(2) and acts.is_way_back_too_small(run),
        tend=lambda number: keep_way_back(run, number),
    )
    retire(run)


def retire(run: Run) -> None:
    """Give the original up: only after its window, a quiet time, and a direct look at route and mark."""
    original, replacement = run.plan.original, run.plan.replacement
    if run.began_with(3) and run.journal.warm_ended is None:
        # Until what serves is seen to serve, the way back stays; a person may give it up for all that.
        run.until("keep:serving", Fact("serving", replacement, run.plan.capacity), deadline="healthy")
    ended = run.once(acts.write_card(run, "window-closed", valid_for_s=0.0))
    run.rest("quiet", ended["valid_until"] + 2 * run.provider.write_timeout_s)

    run.enter("retiring")
    run.until("original-drained", Fact("drained", original), deadline="drained", go_on=True)
    run.once(acts.detach(run, "detach", original))
    let_targets_end(run, "original-left", original)
    run.once(acts.give_up(run, "give-up", original))
    run.until("original-gone", Fact("gone", original), deadline="drained", go_on=True)
    run.once(acts.unpin(run, "unpin", replacement, acts.captured(run, original).floor))
    run.once(acts.write_card(run, "card:closed", closed="retired"))
    run.close("retired", "promoted")


def roll_back(run: Run) -> None:
    """Put traffic back on the original, make sure that it stays there, and give the replacement up."""
    original, replacement = run.plan.original, run.plan.replacement

    run.enter("rolling_back")
    if run.did("card"):
        run.once(acts.grow(run, "back:capacity", original, if_possible=True))
        run.once(acts.swap(run, "back:swap", acts.way_back(run), always=moved(run)))
        run.hold("back:hold", acts.way_back(run), lambda step: acts.swap(run, step, acts.way_back(run)), quiet_at(run))
        run.until("back:observed", Fact("routed", weights=acts.way_back(run)), deadline="observed")
    if run.did("back:capacity") or run.did("grow:warm:1"):  # a host that was launched may not be a target yet
        run.until("back:running", running_original(run), deadline="running")
        run.once(acts.attach(run, "back:attach", original))
    if run.did("attach"):
        # Until the original is seen to serve, the replacement stays: one of the two sides always can.
        run.until("back:healthy", Fact("healthy", original, run.need), deadline="healthy")
        if run.plan.on_rollback == "cut":
            run.once(acts.cut(run, "back:cut", replacement))
        run.until("back:drained", Fact("drained", replacement), deadline="drain_limit", go_on=True)
        run.once(acts.detach(run, "back:detach", replacement))
        let_targets_end(run, "back:left", replacement)
    if run.did("mirror"):
        run.once(acts.give_up(run, "back:give-up", replacement))
        run.until("back:gone", Fact("gone", replacement), deadline="drained", go_on=True)
        run.once(acts.unpin(run, "back:unpin", original, acts.captured(run, original).floor))
    if run.journal.decision and run.journal.decision.data["deny"]:
        run.once(acts.deny_image(run, "back:deny"))
    if run.did("card"):
        run.once(acts.write_card(run, "back:card", closed="rolled_back"))  # first: no new mark after the old is cleared
    run.once(acts.clear_mark(run, "back:clear-mark"))
    run.close("rolled_back", "aborted" if was_aborted(run) else "rolled_back")


def take_as_is(run: Run) -> None:
    """A person says that what serves now is right: end the rollout without moving traffic."""
    serving, standby = acts.adopted_slots(run)

    run.enter("adopting")
    if run.did("card"):
        run.once(acts.write_card(run, "adopt:card", closed="adopted"))  # first: nobody goes back to what is given up
    run.rest("adopt:quiet", acts.adopted_at(run) + 2 * run.provider.write_timeout_s)
    run.until("adopt:drained", Fact("drained", standby), deadline="drained", go_on=True)
    if run.did("attach") or standby == run.plan.original:  # else it was never a target of ours
        run.once(acts.detach(run, "adopt:detach", standby))
        let_targets_end(run, "adopt:left", standby)
    if run.did("mirror"):
        run.once(acts.give_up(run, "adopt:give-up", standby))
        run.until("adopt:gone", Fact("gone", standby), deadline="drained", go_on=True)
        run.once(acts.unpin(run, "adopt:unpin", serving, acts.captured(run, run.plan.original).floor))
    run.once(acts.clear_mark(run, "adopt:clear-mark"))
    run.close("adopted", "promoted" if serving == run.plan.replacement else "aborted")


def keep_way_back(run: Run, number: int) -> None:
    """While warm, what serves may grow and a warm host may die: the original, its floor and the card follow."""
    original = run.plan.original
    run.once(acts.grow_way_back(run, f"grow:warm:{number}"))
    run.once(acts.pin(run, f"pin:warm:{number}", original))
    if run.meanwhile(f"running:warm:{number}", running_original(run), deadline="running"):
        run.once(acts.attach(run, f"attach:warm:{number}", original))
        if run.meanwhile(f"healthy:warm:{number}", Fact("healthy", original, run.need), deadline="healthy"):
            run.once(acts.write_card(run, f"card:warm:{number}"))


def let_targets_end(run: Run, step: str, slot: Slot) -> None:
    """What was detached may still be ending requests that it took: hosts go only after that, or after their time."""
    if run.began_with(3):
        run.until(step, Fact("left", slot), deadline="drained", go_on=True)


def keep_floors(run: Run) -> None:
    """A floor that was pinned may be lowered meanwhile, as by a schedule: until the rollout ends it is put back."""
    for slot in acts.lowered_floors(run):
        run.once(acts.pin_again(run, slot))


def keep_up(run: Run, number: int) -> None:
    """The original may have grown meanwhile: replacement, floors and card follow before traffic moves on."""
    original, replacement = run.plan.original, run.plan.replacement
    run.once(acts.grow(run, f"grow:{number}", replacement))
    if run.did(f"grow:{number}") or (run.began_with(3) and acts.has_need_risen(run, number)):
        run.once(acts.pin(run, f"pin:original:{number}", original))
        run.once(acts.pin(run, f"pin:replacement:{number}", replacement))
        run.until(f"running:{number}", running(run), deadline="running")
        run.once(acts.attach(run, f"attach:{number}", replacement))
        run.until(f"healthy:{number}", healthy(run), deadline="healthy")
        run.once(acts.write_card(run, f"card:{number}"))


def turn_back_if_changed(run: Run) -> None:
    """The plan was made against a state that is gone: nothing was done yet, so nothing is."""
    changes = acts.changes_since_plan(run)
    if changes:
        raise TurnBack("the service changed since the plan was made: " + "; ".join(changes))


def needs_reboot(applied: dict[str, object]) -> bool:
    """Unknown blocks: a patch that may or may not need a reboot proves nothing until it had one."""
    return applied["reboot_needed"] is not False


def running(run: Run) -> Fact:
    return Fact("running", run.plan.replacement, run.need, run.plan.patch.image)


def running_original(run: Run) -> Fact:
    return Fact("running", run.plan.original, run.need, run.plan.original_image)


def healthy(run: Run) -> Fact:
    return Fact("healthy", run.plan.replacement, run.need)


def moved(run: Run) -> bool:
    """Was any traffic ever meant to move? Then a write of ours may be in flight still."""
    return bool(run.journal.intended_routes())


def settled_at(run: Run) -> float:
    """A fresh host may still be changing itself: proofs begin a while after it turned healthy."""
    healthy = run.journal.record("healthy")
    assert healthy is not None  # noqa: S101 - the line before recorded it
    return healthy.at + run.plan.settle_s


def quiet_at(run: Run) -> float:
    """When no write that began before the decision, or before a person's word since, can land any more."""
    decision = run.journal.decision
    assert decision is not None  # noqa: S101 - roll_back is told only after the decision
    resumed = run.journal.last("resumed")
    return max(decision.at, resumed.at if resumed else 0.0) + run.provider.write_timeout_s


def was_aborted(run: Run) -> bool:
    return run.journal.decision is not None and run.journal.decision.data["kind"] == "abort"
