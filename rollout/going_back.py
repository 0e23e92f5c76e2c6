"""A plan that goes back to an earlier image whose side was given up: in a hurry, proven by its health alone. Pure."""

from __future__ import annotations

from dataclasses import replace

from rollout.plan import CheckSpec, Gate, Plan

SECURITY = frozenset({"patches", "vulnerabilities", "listening", "fidelity"})
"""What an earlier image cannot pass beside a newer one, or what only says that it is an earlier one."""

HEALTH = CheckSpec("balancer", "balancer")


def as_way_back(plan: Plan) -> Plan:
    """All traffic in one step, nobody's approval, no window, and no check that is not about health.

    Nothing is asked of the side that is left (see `Run.gate`): it may be what is broken.
    """
    gates = {name: _of_health(gate) for name, gate in plan.gates.items()}
    return replace(plan, cold=True, steps=(100,), gates=gates, approval="none", window=None)


def _of_health(gate: Gate) -> Gate:
    checks = tuple(check for check in gate.checks if check.name not in SECURITY)
    return replace(gate, checks=checks or (HEALTH,))
