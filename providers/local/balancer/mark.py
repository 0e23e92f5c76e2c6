"""The hold mark beside the route, as the balancers tell it. Standard library only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

MARK = "mark.json"


def read_mark(directory: Path) -> dict[str, object] | None:
    """As it was written; None: there is none; {"unreadable": why} is one, too."""
    try:
        document = json.loads((directory / MARK).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return {"unreadable": str(error)}
    if not isinstance(document, dict):
        return {"unreadable": "not a JSON object"}
    return cast("dict[str, object]", document)
