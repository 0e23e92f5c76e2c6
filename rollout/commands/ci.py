"""What a pipeline shows of a rollout besides the exit code: a JUnit file, and a summary on the job's page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout.render import Screen

if TYPE_CHECKING:
    from rollout.rows import Row
    from rollout.wiring import Installation

Junit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Gates and checks as JUnit XML, however it ends.")
]
StepSummary = Annotated[
    Path | None,
    typer.Option("--step-summary", metavar="FILE", help="Add a summary in Markdown, as to $GITHUB_STEP_SUMMARY."),
]


@contextmanager
def left_for_ci(
    installation: Installation, row: Row, screen: Screen, junit: Path | None, step_summary: Path | None
) -> Iterator[None]:
    """Whatever ends the body, the files that were asked for are written; that they cannot be changes no exit code."""
    try:
        yield
    finally:
        if junit or step_summary:
            try:
                _leave(_told(installation, row), junit, step_summary)
            except Exception as error:  # the rollout is what the command is for; its exit code must be the rollout's
                screen.problem(f"{row.id}: the files for CI could not be written: {type(error).__name__}: {error}")


def _told(installation: Installation, row: Row) -> dict[str, Any]:
    from rollout.commands.tell import case_now
    from rollout.tell.dossier import dossier

    return dossier(case_now(installation, installation.store.rollout(row.id)))


def _leave(told: dict[str, Any], junit: Path | None, step_summary: Path | None) -> None:
    from rollout.tell.junit import junit_of
    from rollout.tell.markdown import text_of
    from rollout.tell.report import brief_document_of
    from rollout.tell.writing import write_out

    if junit:
        write_out(junit, junit_of(told))
    if step_summary:
        with step_summary.open("a", encoding="utf-8") as page:  # several steps of a job share it
            page.write(text_of(brief_document_of(told)))
