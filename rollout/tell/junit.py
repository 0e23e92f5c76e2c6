"""A report's data as JUnit XML, which CI systems show: a suite for each gate, a case for each check. Pure.

The first suite is the rollout itself: it fails unless the patch was accepted, so that a pipeline that reads the file
alone is never told more than the exit code says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as Xml

from rollout.tell.clean import clean
from rollout.telling import shares

FINDINGS = {"pass": "", "fail": "failure", "unknown": "error"}
"""What JUnit calls a check that found something wrong, and one that could not be asked; any other word is an error."""


def junit_of(data: Mapping[str, Any]) -> str:
    """Everything that `dossier` returns, as one file. The same data is the same text."""
    suites = Xml.Element("testsuites", name=clean(data["id"]))
    _suite(suites, f"rollout {data['id']}", data["summary"]["duration_s"], [_rollout(data)])
    for gate in data["gates"]:
        cases = [_check(verdict, gate) for verdict in gate["verdicts"]] or [_unasked(gate)]
        _suite(suites, f"gate {gate['step']}", gate["lasted_s"], cases)
    Xml.indent(suites)
    return Xml.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(suites: Xml.Element, name: str, seconds: float | None, cases: list[Xml.Element]) -> None:
    counts = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error")}
    suite = Xml.SubElement(suites, "testsuite", name=clean(name), tests=str(len(cases)), time=f"{seconds or 0.0:.3f}")
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.extend(cases)


def _rollout(data: Mapping[str, Any]) -> Xml.Element:
    summary = data["summary"]
    case = Xml.Element("testcase", classname=clean(data["service"]), name=clean(f"patch to {summary['patch']}"))
    if summary["outcome"] == "promoted":
        return case
    wrong = data["wrong"][-1]["reason"] if data["wrong"] else ""
    where = shares(summary["traffic"]) if summary["traffic"] else "not known"
    message = clean(f"{summary['outcome']}: {wrong}" if wrong else summary["outcome"])
    kind = "failure" if summary["outcome"] in ("rolled_back", "aborted") else "error"
    Xml.SubElement(case, kind, message=message).text = f"{message}\ntraffic, as last journalled: {where}"
    return case


def _check(verdict: Mapping[str, Any], gate: Mapping[str, Any]) -> Xml.Element:
    """A check that fails on both sides alike blocks the gate, but is not blamed on the patch: an error."""
    case = Xml.Element("testcase", classname=clean(gate["step"]), name=clean(verdict["check"]))
    kind = FINDINGS.get(verdict["finding"], "error")
    if kind:
        said = [side for side in (verdict["on"], verdict["beside"]) if side]
        lines = [clean(f"{side['slot']}: {side['answer']}: {side['summary']} {side['evidence']}") for side in said]
        message = clean(f"{verdict['finding']}: {verdict['on']['summary']}")
        Xml.SubElement(case, kind, message=message).text = "\n".join(lines)
    return case


def _unasked(gate: Mapping[str, Any]) -> Xml.Element:
    """A gate that has no last answers: it passed without checks, is open, or something else ended it."""
    case = Xml.Element("testcase", classname=clean(gate["step"]), name="gate")
    if gate["outcome"] != "passed":
        message = clean(f"{gate['outcome']}: {gate['why']}" if gate["why"] else gate["outcome"])
        Xml.SubElement(case, "failure" if gate["outcome"] == "failed" else "error", message=message)
    return case
