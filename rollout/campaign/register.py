"""Where the runs of campaigns are kept, and the words that people say about them; each on record in the fleet's
journal, in the transaction that heeds it. Standard library only: `rollout rollback --wave` says one of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from rollout.campaign.decide import failures, soak_ends
from rollout.campaign.model import OVER, CampaignPlan, Mark, Member, Run
from rollout.database import Database, Transaction
from rollout.fleet_journal import append_to_fleet
from rollout.journal import canonical
from rollout.lease import Holder, is_provably_dead

TURN_S = 120.0
"""How long a process that was seen with a run may be silent before another one takes it over: making plans takes time
where clouds are slow. One that is provably dead is followed at once."""
SEEN_S = 5.0
"""How often it says that it is there."""
GAP_S = 60.0
"""Nobody looked for longer than this: that time is no soak."""
_COLUMNS = (
    "id, campaign, plan, actor, reason, ref, started_at, state, said, said_by, rollouts, marks, forgiven, ended_at, "
    "turn, key"
)
_MEMBERS = (
    "SELECT m.service, m.wave, m.rollout, m.hosts, m.skipped, m.why, m.tries, m.not_before, r.phase, r.outcome,"
    " r.closed_at, r.head_seq FROM campaign_members m LEFT JOIN rollouts r ON r.id = m.rollout WHERE m.run = ?"
)
_TURNING = (
    "SELECT DISTINCT m.rollout FROM campaign_members m JOIN journal j ON j.rollout = m.rollout"
    " WHERE m.run = ? AND j.kind = 'roll_back_decided'"
)


class Running(Exception):
    """The campaign runs already."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"campaign {run.campaign} runs already: {run.id} ({run.state}), started by {run.actor}")
        self.run = run


class UnknownRun(Exception):
    """No run of this name, or none that is open."""


class NotNow(Exception):
    """The word would mean nothing where the run stands; the message says where that is."""


class Superseded(Exception):
    """Another process carries the run out, or a person has stopped it: nothing is begun."""


# Reading


def runs(db: Database, *, open_only: bool = True) -> list[Run]:
    """Oldest first."""
    where = "WHERE ended_at IS NULL" if open_only else ""
    return [_run(found) for found in db.all(f"SELECT {_COLUMNS} FROM campaign_runs {where} ORDER BY number")]  # noqa: S608 - fixed


def newest(db: Database, name: str) -> Run | None:
    """The newest run of a campaign, or the run with this id."""
    query = f"SELECT {_COLUMNS} FROM campaign_runs WHERE campaign = ? OR id = ? ORDER BY number DESC LIMIT 1"  # noqa: S608 - fixed
    found = db.all(query, name, name)
    return _run(found[0]) if found else None


def known_key(db: Database, campaign: str, key: str | None) -> Run | None:
    """The run that was started under this key."""
    query = f"SELECT {_COLUMNS} FROM campaign_runs WHERE campaign = ? AND key = ?"  # noqa: S608 - fixed columns
    found = db.all(query, campaign, key) if key is not None else []
    return _run(found[0]) if found else None


def members(db: Database, run: str) -> list[tuple[Member, int]]:
    """The services of a run in order, with their rollouts' phases, each with its journal's length; in one query.

    What `decided` and `paused` are is in the journals: see rollout/campaign/heard.py.
    """
    return [_member(found) for found in db.all(f"{_MEMBERS} ORDER BY m.position", run)]


def _member(found: Sequence[Any]) -> tuple[Member, int]:
    service, wave, rollout, hosts, skipped, why, tries, not_before, phase, outcome, closed_at, head = found
    member = Member(
        service,
        wave,
        rollout,
        phase or "",
        outcome or "",
        closed_at is not None,
        phase == "rolling_back",
        "",
        hosts,
        skipped,
        why,
        tries,
        not_before,
    )
    return member, int(head or 0)


def _run(found: Sequence[Any]) -> Run:
    values = list(found)
    values[2] = _plan(values[2])
    values[10] = bool(values[10])
    values[11] = {wave: Mark(**mark) for wave, mark in json.loads(values[11]).items()}
    values[12] = json.loads(values[12])
    return Run(*values)


@lru_cache(maxsize=8)
def _plan(text: str) -> CampaignPlan:
    """Of ten thousand services it takes a tenth of a second to read, and it never changes."""
    return CampaignPlan.from_json(json.loads(text))


def _marks(marks: Mapping[str, Mark]) -> str:
    return canonical({wave: asdict(mark) for wave, mark in marks.items()})


# Starting


def open_run(database: Database, run: Run, hosts: Mapping[str, int] | None = None) -> Run:
    """Put a new run on record; the one that has its key, if there is one. Running: one of this campaign is open."""
    with database.transaction() as db:
        query = f"SELECT {_COLUMNS} FROM campaign_runs WHERE campaign = ? AND (key = ? OR ended_at IS NULL)"  # noqa: S608 - fixed
        found = [_run(each) for each in db.execute(query, (run.campaign, run.key)).fetchall()]
        if same := [each for each in found if run.key is not None and each.key == run.key]:
            return same[0]
        if found:
            raise Running(found[0])
        (number,) = db.execute("SELECT coalesce(max(number), 0) + 1 FROM campaign_runs").fetchone()
        plan = canonical(run.plan.to_json())
        whose = (run.plan.hash, run.actor, run.reason, run.ref, run.started_at, run.state, "", "", 0, "{}", "{}")
        db.execute(
            "INSERT INTO campaign_runs (id, number, campaign, key, plan, plan_hash, actor, reason, ref, started_at,"
            " state, said, said_by, rollouts, marks, forgiven, turn, seen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
            (run.id, number, run.campaign, run.key, plan, *whose, run.started_at),
        )
        position = 0
        for wave in run.plan.waves:
            for service in wave.services:
                position += 1
                db.execute(
                    "INSERT INTO campaign_members VALUES (?, ?, ?, ?, '', ?, '', '', 0, 0.0)",
                    (run.id, service, wave.name, position, (hosts or {}).get(service)),
                )
        more = {"plan_hash": run.plan.hash, "patch_hash": run.plan.patch_hash, "reference": run.plan.reference}
        _note(db, "started", run, run.actor, run.reason, run.started_at, ref=run.ref, services=position, **more)
    return run


def _note(db: Transaction, what: str, run: Run, actor: str, reason: str, at: float, **more: Any) -> None:
    said = {"campaign": run.campaign, "run": run.id, "actor": actor, "reason": reason, **more}
    append_to_fleet(db, f"campaign_{what}", "", said, at)


# The right to carry it out


def take_turn(database: Database, run: Run, holder: Holder, now: float) -> Run | None:
    """The run as it stands, for whoever may carry it out now; None while another process does.

    Time in which nobody looked is taken off the soaks that were under way.
    """
    with database.transaction() as db:
        query = "SELECT holder, seen_at FROM campaign_runs WHERE id = ? AND ended_at IS NULL"
        found = db.execute(query, (run.id,)).fetchone()
        if found is None:
            return None
        text, seen_at = found
        present = Holder.from_json(json.loads(text)) if text else None
        if present and present != holder and abs(now - seen_at) <= TURN_S and not is_provably_dead(present):
            return None
        fresh = _locked(db, run.id)
        gap, turn = now - seen_at, fresh.turn + (present != holder)
        marks = _without_gap(fresh, seen_at, gap) if gap > GAP_S else fresh.marks
        if turn != fresh.turn or marks != fresh.marks or abs(gap) >= SEEN_S:
            db.execute(
                "UPDATE campaign_runs SET holder = ?, turn = ?, seen_at = ?, marks = ? WHERE id = ?",
                (canonical(holder.to_json()), turn, now, _marks(marks), run.id),
            )
        return replace(fresh, turn=turn, marks=marks)


def _without_gap(run: Run, seen_at: float, gap: float) -> Mapping[str, Mark]:
    marks = dict(run.marks)
    for name, mark in run.marks.items():
        if mark.done_at is not None and seen_at < soak_ends(mark, run.plan.wave(name).limits):
            marks[name] = replace(mark, lost_s=mark.lost_s + gap)
    return marks


def raise_if_superseded(db: Transaction, run: Run, *states: str) -> None:
    """Inside a transaction that does something for the run: only under its present turn, and in these states."""
    turn, state = db.execute("SELECT turn, state FROM campaign_runs WHERE id = ?", (run.id,)).fetchone()
    if turn != run.turn:
        raise Superseded(f"another process carries {run.id} out")
    if state not in (states or (run.state,)):
        raise Superseded(f"{run.id} is {state} by now")


# What its runner records


def note_begun(db: Transaction, run: Run, service: str, rollout: str, hosts: int) -> None:
    """In the transaction that opens the rollout: Superseded, and it is not opened."""
    raise_if_superseded(db, run, "running")
    skipped = "SELECT 1 FROM campaign_members WHERE run = ? AND service = ? AND skipped != ''"
    if db.execute(skipped, (run.id, service)).fetchone():
        raise Superseded(f"{service} was left out by a person")
    db.execute(
        "UPDATE campaign_members SET rollout = ?, hosts = ?, why = '' WHERE run = ? AND service = ?",
        (rollout, hosts, run.id, service),
    )


def note_skipped(database: Database, run: Run, service: str, kind: str, why: str) -> None:
    with database.transaction() as db:
        raise_if_superseded(db, run)
        db.execute(
            "UPDATE campaign_members SET skipped = ?, why = ? WHERE run = ? AND service = ? AND rollout = ''",
            (kind, why, run.id, service),
        )


def note_put_off(
    database: Database, run: Run, service: str, why: str, not_before: float, *, tried: bool, hosts: int | None = None
) -> None:
    """It could not be begun now. `tried`: and that counts, for it may never be."""
    with database.transaction() as db:
        raise_if_superseded(db, run)
        db.execute(
            "UPDATE campaign_members SET why = ?, not_before = ?, tries = tries + ?, hosts = coalesce(?, hosts)"
            " WHERE run = ? AND service = ? AND rollout = ''",
            (why, not_before, int(tried), hosts, run.id, service),
        )


def note_done(database: Database, run: Run, wave: str, at: float) -> None:
    """The wave is done; its soak begins."""
    with database.transaction() as db:
        raise_if_superseded(db, run, "running")
        fresh = _locked(db, run.id)
        if fresh.mark(wave).done_at is None:
            _set(db, run.id, marks=_marks({**fresh.marks, wave: replace(fresh.mark(wave), done_at=at)}))
            _note(db, "wave_done", run, "rollout", "", at, wave=wave)


def note_asked(database: Database, run: Run, wave: str, at: float) -> None:
    """A person is asked to let the waves after this one begin: told once."""
    with database.transaction() as db:
        raise_if_superseded(db, run, "running")
        fresh = _locked(db, run.id)
        if fresh.mark(wave).asked_at is None:
            _set(db, run.id, marks=_marks({**fresh.marks, wave: replace(fresh.mark(wave), asked_at=at)}))
            _note(db, "asks", run, "rollout", f"wave {wave} is through, and its soak is over", at, wave=wave)


def note_stopped(database: Database, run: Run, why: str, at: float) -> None:
    with database.transaction() as db:
        raise_if_superseded(db, run, "running")
        _set(db, run.id, state="stopped", said=why, said_by="rollout")
        _note(db, "stopped", run, "rollout", why, at)


def note_over(database: Database, run: Run, state: str, at: float) -> None:
    """`ended`: all waves are done. `aborted`: and what was under way is put back."""
    with database.transaction() as db:
        raise_if_superseded(db, run)
        _set(db, run.id, state=state, ended_at=at)
        _note(db, "ended", run, "rollout", "", at, state=state)


# What people say


def pause(db: Database, name: str, actor: str, reason: str, at: float, *, rollouts: bool = False, ref: str = "") -> Run:
    """Begin nothing more. `rollouts`: what was begun takes no further step either, but turns back where it has to.

    `name` is a campaign, a wave of one (`monthly/canary`) or a run. UnknownRun, NotNow.
    """
    with db.transaction() as tx:
        run = _spoken_of(tx, name)
        if run.state == "aborting" or (run.state == "paused" and rollouts <= run.rollouts):
            raise NotNow(f"{run.id} is {run.state} already{_by(run)}")
        _set(tx, run.id, state="paused", said=reason, said_by=actor, rollouts=int(rollouts))
        _note(tx, "paused", run, actor, reason, at, ref=ref, rollouts=rollouts)
        return _locked(tx, run.id)


def resume(db: Database, name: str, actor: str, reason: str, at: float, *, ref: str = "") -> Run:
    """Let it go on; the failures that there are so far stop it no more. UnknownRun, NotNow."""
    with db.transaction() as tx:
        run = _spoken_of(tx, name)
        if run.state not in ("paused", "stopped"):
            raise NotNow(f"{run.id} is {run.state}: there is nothing to resume")
        turning = {rollout for (rollout,) in tx.execute(_TURNING, (run.id,)).fetchall()}
        found = [_member(each)[0] for each in tx.execute(_MEMBERS, (run.id,)).fetchall()]
        found = [replace(each, decided=each.decided or each.rollout in turning) for each in found]
        forgiven = {wave.name: len(failures(wave.name, found)) for wave in run.plan.waves}
        forgiven = {wave: max(count, run.forgiven.get(wave, 0)) for wave, count in forgiven.items() if count}
        _set(tx, run.id, state="running", said="", said_by="", rollouts=0, forgiven=canonical(forgiven))
        _note(tx, "resumed", run, actor, reason, at, ref=ref, forgiven=forgiven)
        return _locked(tx, run.id)


def abort(db: Database, name: str, actor: str, reason: str, at: float, *, rollouts: bool = True, ref: str = "") -> Run:
    """End it; `rollouts`: what was begun and not accepted is put back. UnknownRun, NotNow."""
    with db.transaction() as tx:
        run = _spoken_of(tx, name)
        if run.state == "aborting":
            raise NotNow(f"{run.id} is being aborted already{_by(run)}")
        _set(tx, run.id, state="aborting", said=reason, said_by=actor, rollouts=int(rollouts))
        _note(tx, "aborted", run, actor, reason, at, ref=ref, rollouts=rollouts)
        return _locked(tx, run.id)


def skip(
    db: Database, name: str, service: str, actor: str, reason: str, at: float, *, ref: str = ""
) -> tuple[Run, bool]:
    """Leave a service out that has not begun; False: it was left out before. UnknownRun, NotNow."""
    with db.transaction() as tx:
        run = _spoken_of(tx, name)
        query = "SELECT rollout, skipped, wave FROM campaign_members WHERE run = ? AND service = ?"
        found = tx.execute(query, (run.id, service)).fetchone()
        if found is None:
            raise NotNow(f"{service} is in no wave of {run.id}; which are: rollout wave status {run.campaign}")
        rollout, skipped, wave = found
        if rollout:
            raise NotNow(f"{service} has begun: {rollout}. To put it back: rollout rollback {service} --reason TEXT")
        if not skipped:
            why = f"{actor}: {reason}"
            update = "UPDATE campaign_members SET skipped = 'by_a_person', why = ? WHERE run = ? AND service = ?"
            tx.execute(update, (why, run.id, service))
            _note(tx, "skipped", run, actor, reason, at, ref=ref, service=service, wave=wave)
        return run, not skipped


def go_on(db: Database, name: str, actor: str, reason: str, at: float, *, ref: str = "") -> list[str]:
    """Let the next waves begin after those that ask for it and are done; which these are. UnknownRun, NotNow."""
    with db.transaction() as tx:
        run = _spoken_of(tx, name)
        asking = [
            wave.name
            for wave in run.plan.waves
            if wave.limits.go_on == "asked"
            and run.mark(wave.name).done_at is not None
            and run.mark(wave.name).went_on_at is None
            and any(wave.name in later.after for later in run.plan.waves)
        ]
        if not asking:
            raise NotNow(f"{run.id} does not wait for a word to go on; how it stands: rollout wave status {name}")
        marks = {**run.marks, **{wave: replace(run.mark(wave), went_on_at=at) for wave in asking}}
        _set(tx, run.id, marks=_marks(marks))
        _note(tx, "went_on", run, actor, reason, at, ref=ref, waves=asking)
        return asking


def _by(run: Run) -> str:
    return f", by {run.said_by}: {run.said or 'no reason given'}" if run.said_by else ""


def _spoken_of(db: Transaction, name: str) -> Run:
    """The open run that a name means."""
    campaign = name.partition("/")[0]
    query = f"SELECT {_COLUMNS} FROM campaign_runs WHERE (campaign = ? OR id = ?) AND ended_at IS NULL"  # noqa: S608 - fixed
    found = db.execute(query, (campaign, campaign)).fetchone()
    if found is None:
        raise UnknownRun(f"no campaign {campaign} is under way; see: rollout wave status")
    return _run(found)


def _locked(db: Transaction, run: str) -> Run:
    query = f"SELECT {_COLUMNS} FROM campaign_runs WHERE id = ?"  # noqa: S608 - fixed columns
    found = _run(db.execute(query, (run,)).fetchone())
    assert found.state not in OVER or found.ended_at is not None  # noqa: S101 - written together
    return found


def _set(db: Transaction, run: str, **columns: Any) -> None:
    names = ", ".join(f"{name} = ?" for name in columns)
    db.execute(f"UPDATE campaign_runs SET {names} WHERE id = ?", (*columns.values(), run))  # noqa: S608 - our own names
