"""What a bench prints: figures beside their goals, as a table or as one JSON document."""

import json
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    unit: str
    goal: str | None = None  # "<= 8", ">= 100"

    def reached(self) -> bool | None:
        if self.goal is None:
            return None
        relation, limit = self.goal.split()
        return self.value <= float(limit) if relation == "<=" else self.value >= float(limit)


def show(figures: list[Figure], *, as_json: bool) -> None:
    """Print all figures; end with code 1 when a goal was missed."""
    if as_json:
        print(json.dumps({"figures": [asdict(figure) for figure in figures]}))
    else:
        width = max(len(figure.name) for figure in figures)
        for figure in figures:
            verdict = {True: "reached", False: "MISSED", None: ""}[figure.reached()]
            goal = f"goal {figure.goal}" if figure.goal else ""
            line = f"{figure.name:<{width}}  {figure.value:>9.2f} {figure.unit:<6}  {goal:<12} {verdict}"
            print(line.rstrip())
    sys.exit(any(figure.reached() is False for figure in figures))
