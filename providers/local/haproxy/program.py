"""Which HAProxy this machine has. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

OLDEST = (2, 6)
# Where packages put it; not on every user's PATH.
FOLDERS = ("/usr/local/sbin", "/usr/sbin")
ASK_S = 5.0


def find() -> str | None:
    """The path of the program, None when there is none."""
    return shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", os.defpath), *FOLDERS]))


def problem(program: str) -> str | None:
    """Why this one cannot be used; None: it can."""
    asked = [program, "-v"]
    try:
        done = subprocess.run(
            asked, capture_output=True, text=True, timeout=ASK_S, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} cannot be run: {error}"
    version = version_in(done.stdout)
    if version is None:
        return f"{program} does not say its version"
    if version < OLDEST:
        return f"{program} is version {version[0]}.{version[1]}; {OLDEST[0]}.{OLDEST[1]} or newer is needed"
    return None


def version_in(text: str) -> tuple[int, int] | None:
    found = re.search(r"\bversion ([0-9]{1,3})\.([0-9]{1,3})", text)
    return None if found is None else (int(found[1]), int(found[2]))
