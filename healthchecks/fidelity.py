"""Is the replacement the original with nothing but the patch changed, and does it really run the patch?

Asked about the original, it judges what can be wrong there: it exists, is large enough, and runs one image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, ClassVar

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded, short
from providers.base import Environment, Instance

SHOWN = 20  # findings of a kind in the evidence
_SECRET = re.compile(r"pass|secret|token|key|credential|auth", re.IGNORECASE)


@dataclass(frozen=True)
class Options:
    """Nothing to choose: a difference that may be there belongs out of the fingerprint, for every check."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    environments = subject.readings.environments()
    this, beside = environments.get(subject.slot), environments.get(subject.beside)
    if this is None or not this.exists:
        return Verdict.failed(f"{subject.slot} holds no environment")
    if subject.role == "replacement" and (beside is None or not beside.exists):
        return Verdict.failed(f"{subject.beside} holds no environment to compare with")
    wrong, unclear = _images(subject, this)
    if this.capacity < subject.capacity:
        wrong.insert(0, f"capacity is {this.capacity}, {subject.capacity} are needed")
    if subject.role == "replacement" and beside is not None:
        wrong += differences(this, beside)
        unclear += _unclear(this, beside)
    return _sum_up(wrong, unclear, _evidence(this, beside))


def differences(replacement: Environment, original: Environment) -> list[str]:
    """Each field of the fingerprints that differs, and the application's version if both are known."""
    ours, theirs = replacement.fingerprint, original.fingerprint
    found = [
        _difference(name, ours.get(name), theirs.get(name))
        for name in sorted({*ours, *theirs})
        if name not in ours or name not in theirs or ours[name] != theirs[name]
    ]
    versions = replacement.app_version, original.app_version
    if None not in versions and versions[0] != versions[1]:
        found.append(_difference("application version", *versions))
    return found


def _unclear(replacement: Environment, original: Environment) -> list[str]:
    """What cannot be compared. Versions that neither side tells are none that the provider knows of."""
    known = replacement.fingerprint or original.fingerprint
    found = [] if known else ["neither side's configuration is known"]
    if (replacement.app_version is None) != (original.app_version is None):
        side = replacement.slot if replacement.app_version is None else original.slot
        found.append(f"the application version of {side} is not known, that of the other side is")
    return found


def _difference(name: str, here: str | None, beside: str | None) -> str:
    if _SECRET.search(name):
        return f"{short(name, 80)} differs (values are not shown)"
    ours, theirs = ("absent" if value is None else repr(short(value, 80)) for value in (here, beside))
    return f"{short(name, 80)} is {ours}, beside it {theirs}"


def _images(subject: Subject, environment: Environment) -> tuple[list[str], list[str]]:
    """What is wrong and what is unclear about the images that the slot's instances run."""
    if subject.role == "original":
        wanted: Set[str] = {environment.image} if environment.image else set()
    else:
        wanted = set(subject.patch.images.values()) if subject.patch else set()
    instances = subject.readings.instances(subject.slot)
    if not instances:
        return [f"no instance runs on {subject.slot}"], []
    unclear = [] if wanted else ["the plan names no image that has to run"]
    return _other_images(instances, wanted), unclear + _no_image(instances)


def _other_images(instances: Sequence[Instance], wanted: Set[str]) -> list[str]:
    expected = " or ".join(short(image, 80) for image in sorted(wanted))
    return [
        f"instance {short(instance.id, 80)} runs {short(instance.image, 80)}, not {expected}"
        for instance in instances
        if wanted and instance.image and instance.image not in wanted
    ]


def _no_image(instances: Sequence[Instance]) -> list[str]:
    return [
        f"what instance {short(instance.id, 80)} runs cannot be observed"
        for instance in instances
        if not instance.image
    ]


def _evidence(this: Environment, beside: Environment | None) -> dict[str, Any]:
    return {
        "image": short(this.image),
        "capacity": this.capacity,
        "fields": len(this.fingerprint),
        "app_version": None if this.app_version is None else short(this.app_version),
        "image_beside": None if beside is None else short(beside.image),
    }


def _sum_up(wrong: Sequence[str], unclear: Sequence[str], evidence: Mapping[str, Any]) -> Verdict:
    found = {"wrong": list(wrong[:SHOWN]), "unclear": list(unclear[:SHOWN])}
    counts = {"wrong_count": len(wrong), "unclear_count": len(unclear)}
    full = {**evidence, **found, **counts}
    more = f" (and {len(wrong or unclear) - 1} more)" if len(wrong or unclear) > 1 else ""
    if wrong:
        return Verdict.failed(f"{wrong[0]}{more}", **full)
    if unclear:
        return Verdict.unknown(f"{unclear[0]}{more}", **full)
    return Verdict.passed("the same configuration, and every instance runs the image it should", **full)
