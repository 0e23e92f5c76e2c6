"""`bake:REF`: an image that is made by patching one builder of REF, and proven by what was observed on it.

All state is AWS's own: the builder and the image are found by a tag, the commands by their comment, so that whoever
runs it again goes on. The key of all three is over the source image, its baseline, and the UTC day (or a label).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from providers.aws import builder, ssm
from providers.aws.cloud import Cloud, Clouds
from providers.aws.groups import OURS
from providers.aws.images import check, patch_of, read_image, resolve_image
from providers.aws.options import Options
from providers.aws.side import Side, architecture_of, serving_side
from providers.base import Conflict, Context, Invalid, NotFound, Patch, PatchState, Service, Transient

ACTIVE = "active"
LABEL = re.compile(r"[A-Za-z0-9._-]{1,40}")
ROUNDS = 3  # a kernel may bring what can only be installed after the reboot
POLL_S = 10.0
ONLINE_S = 15 * 60.0
PATCHED_S = 2 * 3600.0
TROUBLE_S = 15 * 60.0
SOURCE, BASELINE, FRESH = f"{OURS}source", f"{OURS}baseline", f"{OURS}fresh"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is baked; `key` names it in AWS."""

    service: str
    reference: str
    side: Side
    source: str
    baseline: str
    fresh: str

    @property
    def key(self) -> str:
        text = "\n".join((self.source, self.baseline, self.fresh, self.side.patch_group))
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @property
    def name(self) -> str:
        return f"rollout-bake-{self.key}"

    @property
    def asked(self) -> str:
        """How the image is referred to."""
        return f"bake:{self.reference}"

    @property
    def command(self) -> str:
        reference, at, fresh = self.reference.rpartition("@")
        labelled = at and fresh == self.fresh
        plain = reference if labelled else self.reference
        return f"rollout bake {self.service} --from {plain}" + (f" --fresh {self.fresh}" if labelled else "")


def find(cloud: Cloud, options: Options, service: str, reference: str) -> Patch:
    """The finished image of `bake:REF[@LABEL]`. A read; NotFound says how it is made."""
    recipe = recipe_of(cloud, options, service, reference.removeprefix("bake:"))
    found = _images(cloud, recipe.key)
    ready = [image for image in found if image["State"] == "available"]
    if not ready:
        state = f"is {found[0]['State']}" if found else "was not made yet"
        raise NotFound(
            f"{reference}: the image of {recipe.source} with {recipe.baseline} of {recipe.fresh} {state}; "
            f"make it with: {recipe.command}"
        )
    image = ready[0]
    check(cloud, image, architecture_of(cloud, recipe.side), recipe.side)
    origin = {"source": recipe.source, "baseline": recipe.baseline, "fresh": recipe.fresh}
    return patch_of(cloud, reference, image, origin)


def recipe_of(cloud: Cloud, options: Options, service: str, reference: str) -> Recipe:
    """`REF`, or `REF@LABEL` where LABEL stands for the UTC day. Raises what resolving REF raises, and Invalid."""
    plain, at, label = reference.rpartition("@")
    if not at or not LABEL.fullmatch(label):
        plain, label = reference, ""
    if plain.startswith(("bake:", "in-place")) or not plain:
        raise Invalid(f"bake:{reference}: what is baked is active, ami-…, ssm:/PATH or name:OWNER/PATTERN")
    side = serving_side(cloud, options)
    source = side.image if plain == ACTIVE else resolve_image(cloud, side, plain).image
    hosts = [str(host["InstanceId"]) for host in side.hosts]
    baseline = ssm.effective_baseline(cloud, hosts, side.patch_group)
    day = datetime.fromtimestamp(cloud.clock.now(), UTC).date().isoformat()
    return Recipe(service, reference, side, source, baseline, label or day)


def bake(
    context: Context, service: Service, reference: str = ACTIVE, *, fresh: str = "", say: Say = lambda text: None
) -> dict[str, Any]:
    """Make it, or go on making it; returns image, source, baseline, fresh, reference and `made` (False: it was there).

    Repeatable after any end. Raises Invalid, with the agent's words and the builder gone, when it cannot be made.
    """
    cloud, options = Clouds(context).of(service)
    if fresh and not LABEL.fullmatch(fresh):
        raise Invalid(f"--fresh {fresh!r}: letters, digits and . _ - are allowed, at most 40")
    recipe = recipe_of(cloud, options, service.name, f"{reference}@{fresh}" if fresh else reference)
    read_image(cloud, recipe.source, reference)
    return Baking(cloud, recipe, say).run()


class Baking:
    """One image on its way. `step` goes on from what is in AWS, and never remembers anything."""

    def __init__(self, cloud: Cloud, recipe: Recipe, say: Say) -> None:
        self._cloud, self._recipe, self._say = cloud, recipe, say
        self._said, self._made = "", False

    def run(self) -> dict[str, Any]:
        clock, well_at = self._cloud.clock, self._cloud.clock.now()
        while True:
            try:
                image = self.step()
                well_at = clock.now()
                if image:
                    return self._result(image)
            except (Transient, Conflict) as error:
                if clock.now() - well_at > TROUBLE_S:
                    raise
                self._tell(f"will be tried again: {error}")
            clock.sleep(POLL_S)

    def step(self) -> str:
        """One look and at most one deed; the image's id once it is available and no builder is left."""
        cloud, key = self._cloud, self._recipe.key
        builders, images = builder.find_builders(cloud, key), _images(cloud, key)
        if images and images[0]["State"] == "available":
            builder.end(cloud, builders)
            return str(images[0]["ImageId"])
        self._made = True
        if images and images[0]["State"] != "pending":
            self._give_up(builders, images[0])
        if images:
            self._tell(f"{images[0]['ImageId']} is being made")
        elif not builders:
            host = builder.launch(cloud, self._recipe.side, self._recipe.source, key, self._recipe.service)
            self._tell(f"builder {host} of {self._recipe.source} was launched")
        elif len(builders) > 1:  # two people at once: the oldest stays
            builder.end(cloud, builders[1:])
        else:
            self._patch(builders[0])
        return ""

    def _patch(self, host: builder.Host) -> None:
        name, launched = str(host["InstanceId"]), ssm.timestamp(host["LaunchTime"])
        age = self._cloud.clock.now() - launched
        every = [ssm.runs(self._cloud, self._comment(number), launched).get(name) for number in range(ROUNDS)]
        sent = [run for run in every if run is not None]
        if host["State"]["Name"] != "running" or (not sent and ssm.offline(self._cloud, [name])):
            state = host["State"]["Name"]
            if state not in ("pending", "running") or age > ONLINE_S:
                self._fail(host, f"it is {state} and Systems Manager does not reach it after {age / 60:.0f} minutes")
            self._tell(f"builder {name} is {state}; waiting for its agent")
            return
        if not sent:
            self._send(name, 0)
        elif not sent[-1].ended or not self._is_observed(name, sent[-1], len(sent) - 1):
            if sent[-1].failed:
                self._fail(host, sent[-1].said)
            if age > PATCHED_S:
                self._fail(host, f"its patches are not proven after {age / 60:.0f} minutes; {sent[-1].said}")
            self._tell(f"builder {name} is being patched ({sent[-1].status})")
        else:
            self._judge(host, len(sent), sent[-1])

    def _is_observed(self, name: str, run: ssm.Run, number: int) -> bool:
        raw = ssm.raw_states(self._cloud, [name]).get(name)
        return ssm.is_proven(raw, run, self._snapshot(number))

    def _judge(self, host: builder.Host, rounds: int, run: ssm.Run) -> None:
        """By what was observed: an image of it, or another round, or the end."""
        name = str(host["InstanceId"])
        state = ssm.patch_state(ssm.raw_states(self._cloud, [name]).get(name))
        if state is None:
            return
        if state.baseline != self._recipe.baseline:
            self._fail(host, f"baseline {state.baseline} was applied, not {self._recipe.baseline}")
        left = f"{state.missing} missing, {state.failed} failed, {state.pending_reboot} wait for a reboot"
        if not (state.missing or state.failed or state.pending_reboot):
            self._create_image(name, state)
        elif rounds < ROUNDS:
            self._tell(f"builder {name}: {left}; once more")
            self._send(name, rounds)
        else:
            self._fail(host, f"after {rounds} rounds: {left}; the agent says: {run.said}")

    def _send(self, name: str, number: int) -> None:
        ssm.send(self._cloud.writing(), [name], self._comment(number), self._snapshot(number))
        self._tell(f"builder {name} is being patched with {self._recipe.baseline}")

    def _create_image(self, name: str, state: PatchState) -> None:
        recipe = self._recipe
        tags = [
            {"Key": key, "Value": value}
            for key, value in {
                builder.KEY: recipe.key,
                SOURCE: recipe.source,
                BASELINE: recipe.baseline,
                FRESH: recipe.fresh,
            }.items()
        ]
        tags.append(builder.owned(recipe.service))
        self._cloud.writing().call(
            "ec2",
            "create_image",
            InstanceId=name,
            Name=recipe.name,  # a name is taken once: a second image cannot come to be
            Description=f"{recipe.source} with {recipe.baseline} of {recipe.fresh} for {recipe.service}",
            TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")],
        )
        self._tell(f"builder {name} is proven: {state.installed} patches installed, none missing; its image is made")

    def _fail(self, host: builder.Host, why: str) -> None:
        name = str(host["InstanceId"])
        builder.end(self._cloud, [host])
        raise Invalid(f"builder {name} of {self._recipe.source} was terminated: {why}")

    def _give_up(self, builders: list[builder.Host], image: Mapping[str, Any]) -> None:
        """The name of what failed is free again, and nothing is left over."""
        self._cloud.writing().call("ec2", "deregister_image", ImageId=image["ImageId"])
        builder.end(self._cloud, builders)
        reason = image.get("StateReason", {}).get("Message") or "no reason given"
        raise Invalid(f"image {image['ImageId']} is {image['State']} ({reason}); it and its builder were removed")

    def _comment(self, number: int) -> str:
        return f"rollout bake {self._recipe.key} {number}"

    def _snapshot(self, number: int) -> str:
        return ssm.snapshot_of(self._comment(number))

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)

    def _result(self, image: str) -> dict[str, Any]:
        recipe = self._recipe
        found = {"service": recipe.service, "image": image, "source": recipe.source, "baseline": recipe.baseline}
        return {**found, "fresh": recipe.fresh, "reference": recipe.asked, "made": self._made}


def _images(cloud: Cloud, key: str) -> list[Mapping[str, Any]]:
    filters = [{"Name": f"tag:{builder.KEY}", "Values": [key]}]
    found = cloud.pages("ec2", "describe_images", "Images", Owners=["self"], Filters=filters, IncludeDeprecated=True)
    return sorted(found, key=lambda image: (image["State"] != "available", str(image["ImageId"])))
