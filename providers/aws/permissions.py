"""IAM policies for each role, made from the calls that the code makes and the reviewed table of grants.

`python -m providers.aws.permissions FOLDER` writes them. A call is found by reading the sources; one that no grant
names is an error, and a grant that no source calls is left out.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from providers.aws.grants import GRANTS, PREFIXES, RENAMED, ROLES, WITH, Grant, Role

VERSION = "2012-10-17"
NOT_CALLERS = {"grants.py", "permissions.py", "quotas.py", "errors.py", "options.py", "cloud.py"}
NOT_CALLERS |= {"cut.py", "commands.py"}  # of quick/: a list for the model, and text for people
ALWAYS = frozenset({"sts.GetCallerIdentity"})  # by Cloud itself


class Unreviewed(ValueError):
    """The code makes a call that no grant names."""


def policy(role: Role, called: Iterable[str]) -> dict[str, Any]:
    """The policy document of a role, for code that makes these calls (`api.Operation`), without what `WITH` adds."""
    called, besides = set(called), set(WITH.get(role, ()))
    own = [grant for grant in GRANTS if role in grant.roles.split() and not besides & set(grant.roles.split())]
    return {"Version": VERSION, "Statement": [made for grant in own if (made := _statement(grant, called))]}


def allowed(role: Role, called: Iterable[str]) -> set[str]:
    """Those of these calls that a grant gives to the role."""
    roles = {role, *WITH.get(role, ())}
    granted = [grant for grant in GRANTS if roles & set(grant.roles.split())]
    return set(called) & {operation for grant in granted for operation in grant.operations.split()}


def unreviewed(called: Iterable[str]) -> set[str]:
    """Calls that no grant names."""
    return set(called) - set(operations())


def operations() -> list[str]:
    """All operations that grants name, as `api.Operation`."""
    return sorted({operation for grant in GRANTS for operation in grant.operations.split()})


def actions(operation: str) -> tuple[str, ...]:
    """The IAM actions of one operation."""
    api, name = operation.split(".")
    return RENAMED.get(operation, (f"{PREFIXES.get(api, api)}:{name}",))


def needed(role: Role, called: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Every action of the role's policy and of those that go with it, with the resources that it is granted on."""
    called, roles = set(called), [role, *WITH.get(role, ())]
    statements = [each for one in roles for each in policy(one, called)["Statement"]]
    pairs = [(action, each["Resource"]) for each in statements for action in each["Action"]]
    return [(action, (found,) if isinstance(found, str) else tuple(found)) for action, found in pairs]


def _statement(grant: Grant, called: set[str]) -> dict[str, Any] | None:
    named = {action for operation in grant.operations.split() if operation in called for action in actions(operation)}
    if called & set(grant.when.split()):
        named |= set(grant.implied.split())
    if not named:
        return None
    resources = list(grant.resources)
    made: dict[str, Any] = {"Sid": grant.sid, "Effect": "Allow", "Action": sorted(named)}
    made["Resource"] = resources[0] if len(resources) == 1 else resources
    if grant.condition:
        made["Condition"] = {operator: dict(test) for operator, test in grant.condition.items()}
    return made


@cache
def called_by_the_code(folder: Path = Path(__file__).parent) -> frozenset[str]:
    """Every call in the sources, as `api.Operation`. Raises Unreviewed for one that no grant names."""
    found = set(ALWAYS)
    for path in sorted(folder.rglob("*.py")):
        if path.name not in NOT_CALLERS:
            found |= set(_calls(ast.parse(path.read_text("utf-8")), path.name))
    return frozenset(found)


def _calls(tree: ast.Module, file: str) -> Iterator[str]:
    """An API and an operation side by side; an operation that stands alone is of every API that the file names."""
    known, apis = _by_snake_case(), {each.split(".")[0] for each in operations()}
    paired = set[str]()
    for node in ast.walk(tree):
        first, second = _first_two(node)
        if isinstance(node, ast.Call) and first in apis and isinstance(node.args[1], ast.JoinedStr):
            raise Unreviewed(f"{file}:{node.lineno}: {first}: write the operation's name out, it is read from here")
        if first in apis and second:
            if second in known and (found := [each for each in known[second] if each.startswith(f"{first}.")]):
                paired.add(second)
                yield found[0]
            elif isinstance(node, ast.Call) and second.islower():
                where = f"{file}:{node.lineno}"
                raise Unreviewed(f"{where}: {first} {second} is in no grant; review it, see providers/aws/grants.py")
    written = {each.value for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    written |= {each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute)}
    for name in (written & set(known)) - paired:
        yield from (each for each in known[name] if each.split(".")[0] in (written & apis or apis))


def _first_two(node: ast.AST) -> tuple[str | None, str | None]:
    items = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
    return (_literal(items[0]), _literal(items[1])) if len(items) > 1 else (None, None)


def _literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@cache
def _by_snake_case() -> Mapping[str, set[str]]:
    from botocore import xform_name

    found: dict[str, set[str]] = {}
    for operation in operations():
        found.setdefault(xform_name(operation.split(".")[1]), set()).add(operation)
    return found


def files() -> Mapping[str, str]:
    """The content of each file: a policy for each role, and what its statements are for."""
    called = called_by_the_code()
    made = {f"{role}.json": json.dumps(policy(role, called), indent=2) + "\n" for role in ROLES}
    return {**made, "README.md": _explained(called)}


def _explained(called: Iterable[str]) -> str:
    lines = ["# IAM policies", "", "Made by `python -m providers.aws.permissions docs/aws/policies`; do not edit.", ""]
    lines += [f"- `{role}.json`: {what}" for role, what in ROLES.items()]
    lines += ["", "Fill in the words in capitals: ACCOUNT, REGION, SERVICE, BALANCER, IMAGES, KEY, INSTANCE_ROLE,"]
    lines += ["HOOK_ROLE, THIS_ROLE. In China, GovCloud and the European Sovereign Cloud, write their partition"]
    lines += ["instead of `aws`.", ""]
    lines += ["| Statement | Roles | Why |", "| --- | --- | --- |"]
    for grant in GRANTS:
        if _statement(grant, set(called)):
            lines.append(f"| {grant.sid} | {', '.join(grant.roles.split())} | {grant.why} |")
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (folder / name).write_text(content, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
