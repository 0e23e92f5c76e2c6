"""What holds the sources together and no linter can say: read from syntax trees, and tried in processes."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from rollout import flow
from rollout.store import Fenced

ROOT = Path(__file__).parents[1]
PACKAGES = ("rollout", "providers", "healthchecks")
LONGEST_FILE = 400
LONGEST_FUNCTION = 60

HEAVY = {
    "apprise",
    "standardwebhooks",
    "pydantic",
    "typer",
    "click",
    "yaml",
    "structlog",
    "rich",
    "tenacity",
    "httpx",
    "aiohttp",
    "boto3",
    "botocore",
    "google",
    "psutil",
    "procrastinate",
    "psycopg",
    "univers",
}

PRINTS = {
    "rollout/render.py",  # the renderer
    "rollout/emergency.py",  # has to speak without the renderer and its imports
}
LOADS = {
    "rollout/wiring.py",  # the composition root: adapters, and thin rollback modules for status
    "rollout/rescue/thin.py",  # only providers/<name>/rollback.py, without the composition root
    "rollout/fleetfile/catalogue.py",  # a provider's options, to check a fleet file before anything is composed
    "healthchecks/registry.py",  # checks by name
}
TIME = {
    "rollout/wiring.py": {"time.time", "time.sleep", "time.monotonic"},  # the clocks of the engine
    "rollout/rescue/clock.py": {"time.time", "time.sleep", "time.monotonic"},  # nothing is composed there
    "rollout/render.py": {"time.time"},  # how long still, for the eye only
    "healthchecks/fetch.py": {"time.monotonic"},  # how long a request took
    "healthchecks/deadline.py": {"time.monotonic"},  # when an ask has to end
    "providers/memory/cloud.py": {"random.Random"},  # seeded: the simulated cloud is the same from run to run
}
PROCESSES = ("providers/local/", "rollout/demo/", "healthchecks/command.py")
"""Only these start programs: the provider of this machine, the demonstration on it, and the check that asks a program
which the fleet file names, as an argument list."""
REAL_TIME = ("providers/local/", "rollout/demo/")
"""Real processes take real time, and nothing of it is simulated."""


@cache
def sources() -> tuple[Path, ...]:
    """All files of the program."""
    return tuple(path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))


@cache
def files_of_tests() -> tuple[Path, ...]:
    """All files of its tests."""
    return tuple(sorted((ROOT / "tests").rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text("utf-8"))


def name(path: Path) -> str:
    """A file as it is called from the top."""
    return path.relative_to(ROOT).as_posix()


def dotted(node: ast.AST) -> str:
    """`a.b.c` as it is written; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call with its name, as if modules and their functions had been imported in full."""
    known = dict[str, str]()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            known |= {alias.asname: alias.name for alias in node.names if alias.asname}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and (written := dotted(node.func)):
            first, dot, rest = written.partition(".")
            yield known.get(first, first) + dot + rest, node


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


# The story


STORY = ROOT / "rollout" / "bluegreen.py"


def test_the_story_catches_nothing_and_cleans_nothing_up() -> None:
    """A line of the story turns back by itself, and no decision about it is on record."""
    banned = (ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.While, ast.Global, ast.Nonlocal)
    assert [ast.unparse(node) for node in ast.walk(tree(STORY)) if isinstance(node, banned)] == []


def test_the_story_has_no_clock_and_no_world_of_its_own() -> None:
    """A replayed story branches otherwise than the first time."""
    imported = {node.module for node in ast.walk(tree(STORY)) if isinstance(node, ast.ImportFrom)}
    assert imported <= {
        "__future__",
        "collections.abc",
        "typing",
        "providers.base",
        "rollout",
        "rollout.flow",
        "rollout.observer",
        "rollout.run",
        "rollout.plan",
    }
    assert not [node for node in ast.walk(tree(STORY)) if isinstance(node, ast.Import | ast.Set | ast.SetComp)]
    assert not [node for node in ast.walk(tree(STORY)) if isinstance(node, ast.Attribute) and node.attr == "clock"]


def steps() -> list[str]:
    """The step of each line of the story, as written; parameters stay in braces."""
    found = []
    fixed = {"capture_original": "capture", "write_card": "card", "mirror_original": "mirror"}
    fixed |= {"patch_replacement": "patch", "reboot_replacement": "reboot"}
    for called, node in calls(STORY):
        verb = called.rpartition(".")[2]
        text = [arg for arg in node.args if isinstance(arg, ast.Constant | ast.JoinedStr)]
        literals = [ast.unparse(arg) for arg in text if not isinstance(getattr(arg, "value", ""), int | float)]
        if called.startswith("rollout.acts.") and (literals or verb in fixed):
            found.append(literals[0].strip("f'\"") if literals else fixed[verb])
        elif called in ("run.until", "run.gate", "run.rest", "run.hold") and literals:
            found.append(literals[0].strip("f'\""))
    return found


def test_every_step_has_a_name_of_its_own() -> None:
    """Two steps share a record, and the second is never done."""
    found = steps()
    assert len(found) > 30
    assert sorted(found) == sorted(set(found))


def test_steps_in_a_loop_carry_their_parameter() -> None:
    """The second traffic step is taken for done because the first one was."""
    for loop in (node for node in ast.walk(tree(STORY)) if isinstance(node, ast.For)):
        variables = {leaf.id for leaf in ast.walk(loop.target) if isinstance(leaf, ast.Name)}
        for node in (node for line in loop.body for node in ast.walk(line)):
            if isinstance(node, ast.JoinedStr):
                assert variables & {leaf.id for leaf in ast.walk(node) if isinstance(leaf, ast.Name)}
            if isinstance(node, ast.Call) and dotted(node.func) in ("run.until", "run.gate"):
                assert isinstance(node.args[0], ast.JoinedStr), ast.unparse(node)


def test_steps_of_the_way_back_are_told_apart() -> None:
    """A rollback takes a step of the way there for its own, and leaves it out."""
    (back,) = (function for function in functions(STORY) if function.name == "roll_back")
    named = [
        node.args[1] if dotted(node.func).startswith("acts.") else node.args[0]
        for node in ast.walk(back)
        if isinstance(node, ast.Call)
        and (dotted(node.func).startswith("acts.") or dotted(node.func) in ("run.until", "run.hold"))
        and len(node.args) > 1
    ]
    texts = [node.value for node in named if isinstance(node, ast.Constant)]
    assert len(texts) > 8 and all(str(text).startswith("back:") for text in texts)


@pytest.mark.parametrize("kind", [flow.NotYet, flow.TurnBack, flow.Halt, Fenced])
def test_control_flow_is_no_exception(kind: type[BaseException]) -> None:
    """An `except Exception` on the way swallows the decision to stop."""
    assert not issubclass(kind, Exception)


def test_nobody_catches_everything_but_the_engines_thread() -> None:
    """A broad handler eats control flow, and a stale controller goes on."""
    found = set[str]()
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                kind = ast.unparse(node.type) if node.type else "BaseException"
                raises = [leaf for leaf in ast.walk(node) if isinstance(leaf, ast.Raise)]
                if "BaseException" in kind and not raises:
                    found.add(name(path))
    assert found <= {"rollout/engine/local.py"}  # keeps what ended the job for the thread that asked


# Output, time, processes


def test_only_the_renderer_and_the_emergency_path_print() -> None:
    """A script that reads JSON meets a stray line."""
    found = {name(path) for path in sources() for called, _ in calls(path) if called in ("print", "pprint.pprint")}
    assert found <= PRINTS


def time_and_chance(path: Path) -> set[str]:
    """What a file asks of clocks and dice."""
    exact = {"time.time", "time.sleep", "time.monotonic", "time.time_ns", "os.urandom"}
    return {
        called
        for called, node in calls(path)
        if called in exact
        or called.startswith(("random.", "secrets."))
        or called.endswith(("datetime.now", "datetime.today", "datetime.utcnow", "date.today"))
    }


def test_time_and_chance_come_in_by_the_front_door() -> None:
    """What only happens at midnight, or one time in a thousand, cannot be tried out."""
    allowed_anywhere = REAL_TIME
    for path in sources():
        if not name(path).startswith(allowed_anywhere):
            assert time_and_chance(path) <= TIME.get(name(path), set()), name(path)


def test_the_exceptions_for_time_are_still_needed() -> None:
    """An exception that nobody needs lets the next mistake through."""
    for file, allowed in TIME.items():
        assert allowed <= time_and_chance(ROOT / file), file


def test_only_the_named_places_load_adapters() -> None:
    """An adapter's trouble breaks a command that does not use it, or a cloud library slows every command down."""
    loading = ("importlib.import_module", "__import__", "importlib.util.spec_from_file_location")
    found = {name(path) for path in sources() for called, _ in calls(path) if called in loading}
    assert found == LOADS


def test_the_emergency_path_loads_only_thin_rollback_modules() -> None:
    """The way back at night imports a whole cloud library, or fails because it cannot."""
    (call,) = (node for called, node in calls(ROOT / "rollout/rescue/thin.py") if called == "importlib.import_module")
    assert ast.unparse(call.args[0]) == "f'providers.{provider}.rollback'"


def test_programs_are_started_in_few_places_and_never_by_a_shell() -> None:
    """A name in a configuration becomes a command on the host."""
    starting = ("subprocess.", "os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn", "pty.spawn")
    for path in sources():
        for called, node in calls(path):
            if called.startswith(starting):
                assert name(path).startswith(PROCESSES), f"{name(path)} starts programs"
                assert called not in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput")
            shell = [word.value for word in node.keywords if word.arg == "shell"]
            assert all(isinstance(value, ast.Constant) and value.value is False for value in shell), name(path)


def test_nothing_is_evaluated_or_unpickled() -> None:
    """A text in a configuration, a state file or an answer runs as code."""
    banned = {"eval", "exec", "compile", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "code.interact"}
    banned |= {f"{module}.{call}" for module in ("pickle", "marshal", "dill", "shelve") for call in ("load", "loads")}
    for path in sources():
        assert {called for called, _ in calls(path)} & banned == set(), name(path)
        imported = {alias.name for node in ast.walk(tree(path)) if isinstance(node, ast.Import) for alias in node.names}
        assert imported & {"pickle", "marshal", "shelve", "dill"} == set(), name(path)


# Shape


@pytest.mark.parametrize(
    "path", [path for path in (*sources(), *files_of_tests()) if path.name == "__init__.py"], ids=name
)
def test_packages_do_nothing_when_they_are_imported(path: Path) -> None:
    """Importing one module imports its neighbours, and every command waits for them."""
    assert path.read_text() == ""


def test_files_can_be_read_in_one_sitting() -> None:
    """Whoever has to change a file at night has to read a thousand lines first."""
    long = {name(path): len(path.read_text().splitlines()) for path in sources()}
    assert {file: lines for file, lines in long.items() if lines > LONGEST_FILE} == {}


def test_functions_fit_on_a_screen() -> None:
    """A function does five things, and a test can only try all of them at once."""
    long = {
        f"{name(path)}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for path in sources()
        for function in functions(path)
    }
    assert {where: lines for where, lines in long.items() if lines > LONGEST_FUNCTION} == {}


def test_every_module_says_what_it_is_for() -> None:
    """A reader has to guess why a file exists."""
    assert [name(path) for path in sources() if path.read_text() and not ast.get_docstring(tree(path))] == []


def test_every_test_says_what_a_user_loses() -> None:
    """A test fails, and nobody knows whether it matters."""
    silent = [
        f"{name(path)}:{function.name}"
        for path in files_of_tests()
        if path.name.startswith("test_") or "contract" in path.parts
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def test_no_test_of_the_core_sleeps() -> None:
    """Tests are slow, and then they are not run."""
    found = [
        name(path)
        for path in files_of_tests()
        if path.is_relative_to(ROOT / "tests" / "core") or path.is_relative_to(ROOT / "tests" / "simulation")
        for called, _ in calls(path)
        if called in ("time.sleep", "asyncio.sleep")
    ]
    assert found == []


# What is imported when


def loaded_by(program: str, *arguments: str, cwd: Path) -> tuple[set[str], str]:
    """The top-level modules in memory after a program has run in a process of its own, and its stderr."""
    tail = "\nimport json, sys\nprint('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    home = {"PYTHONPATH": str(ROOT), "HOME": str(cwd), "PATH": os.environ["PATH"], "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program + tail, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=home,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1])), done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "rollout.emergency",
        *(name(path).removesuffix(".py").replace("/", ".") for path in sorted((ROOT / "rollout/rescue").glob("*.py"))),
        "rollout.stores.opening",
        "rollout.campaign.members",
        "rollout.campaign.register",
        "rollout.hotline.client",
        "rollout.entry",
        "rollout.state_dir",
        "rollout.card",
        "rollout.store",
        "rollout.journal",
        "rollout.lease",
        "rollout.exits",
        "rollout.phases",
        "providers.base",
        "providers.memory.rollback",
        "providers.local.rollback",
    ],
)
def test_the_way_back_needs_the_standard_library_only(module: str, tmp_path: Path) -> None:
    """A broken or slow library stands between the on-call engineer and the rollback."""
    loaded, _ = loaded_by(f"import {module}", cwd=tmp_path)
    assert loaded & HEAVY == set()


FLEET = "version: 1\nservices:\n  shop:\n    provider: memory\n    coexist: safe\n"
RUN = "import sys\nfrom rollout.entry import run\ncode = run(sys.argv[1:])\nprint(f'exit {code}', file=sys.stderr)\n"


def test_status_is_quick(tmp_path: Path) -> None:
    """`rollout status` takes a second, because it imports what only a rollout needs."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    loaded, stderr = loaded_by(RUN, "status", "--json", cwd=tmp_path)
    assert "exit 0" in stderr
    assert loaded & (HEAVY - {"typer", "click", "rich"}) == set()


def test_a_rollback_does_not_come_near_the_command_line(tmp_path: Path) -> None:
    """A rollback waits for a command line library, or fails with it."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    loaded, stderr = loaded_by(RUN, "rollback", "shop", cwd=tmp_path)
    assert "exit 2" in stderr and "shop has no rollback card" in stderr
    assert loaded & HEAVY == set()


def test_help_needs_no_cloud_library(tmp_path: Path) -> None:
    """Looking a command up takes as long as running it."""
    loaded, _ = loaded_by(RUN, "--help", cwd=tmp_path)
    assert loaded & (HEAVY - {"typer", "click", "rich"}) == set()
