"""Machine images by reference: resolved once, checked as far as can be read, and pinned by id."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from providers.aws import ssm
from providers.aws.cloud import Cloud
from providers.aws.encryption import check_keys
from providers.aws.side import Side, architecture_of, describe_images
from providers.base import Denied, Invalid, NotFound, Patch, Transient

AMI = re.compile(r"ami-[0-9a-f]{8,17}")
OWNER = re.compile(r"self|amazon|\d{12}")
FORMS = (
    "ami-…, ssm:/PATH (a public or private parameter), name:OWNER/PATTERN (OWNER: self, amazon or 12 digits), "
    "bake:REF, in-place or in-place:BASELINE"
)
SHOWN = 20
LISTED = 50
IMAGE_TYPE = "aws:ec2:image"


def resolve_image(cloud: Cloud, side: Side, reference: str) -> Patch:
    """`ami-…`, `ssm:/…` or `name:…`, for hosts like those of `side`. Raises NotFound naming what is known, Invalid."""
    architecture = architecture_of(cloud, side)
    origin: dict[str, str] = {}
    if reference.startswith("ssm:"):
        image, origin = _from_parameter(cloud, reference)
    elif reference.startswith("name:"):
        image = _newest(cloud, reference, architecture)
    elif AMI.fullmatch(reference):
        image = reference
    else:
        raise NotFound(f"no image is called {reference!r}; allowed: {FORMS}. {_known_here(cloud, reference)}")
    found = read_image(cloud, image, reference)
    check(cloud, found, architecture, side)
    return patch_of(cloud, reference, found, origin)


def patch_of(
    cloud: Cloud, reference: str, image: Mapping[str, Any], origin: Mapping[str, str], pinned: str = ""
) -> Patch:
    """The patch with one member; `pinned` where more than the image is pinned."""
    provenance = {
        "name": str(image.get("Name", "")),
        "owner": str(image.get("OwnerId", "")),
        "created": str(image.get("CreationDate", "")),
        **origin,
    }
    deprecated = str(image.get("DeprecationTime") or "")
    if deprecated and ssm.timestamp(deprecated) <= cloud.clock.now():
        provenance["deprecated"] = f"since {deprecated}"
    member = f"{cloud.account}/{cloud.place.region}/{image['Architecture']}"
    kept = {key: value for key, value in provenance.items() if value}
    return Patch(reference, {member: pinned or str(image["ImageId"])}, kept)


def read_image(cloud: Cloud, image: str, reference: str) -> Mapping[str, Any]:
    """EC2's description; NotFound names this account's own images."""
    what = image if image == reference else f"{reference} is {image}, which"
    try:
        found = describe_images(cloud, [image])
    except NotFound:
        found = []
    if not found:
        raise NotFound(
            f"{what} does not exist in {cloud.place.region}, was deregistered, or is not shared with account "
            f"{cloud.account}. {_own_images(cloud, reference)}"
        )
    return found[0]


def check(cloud: Cloud, image: Mapping[str, Any], architecture: str, side: Side) -> None:
    """Can the side's group launch it as it launches its own? Raises Invalid; Denied where that cannot be read."""
    name = image["ImageId"]
    wanted = {
        "State": ("available", "state", f"reason: {image.get('StateReason', {}).get('Message') or 'none given'}"),
        "Architecture": (architecture, "architecture", f"what serves on {side.slot} is {architecture}"),
        "RootDeviceType": ("ebs", "root device", "instance-store hosts cannot be kept"),
        "VirtualizationType": ("hvm", "virtualization", "current instance types need hvm"),
    }
    for key, (allowed, word, why) in wanted.items():
        if image.get(key) != allowed:
            raise Invalid(f"{name}: its {word} is {image.get(key)}, {allowed} is needed ({why})")
    check_keys(cloud, image, side.group)


def _from_parameter(cloud: Cloud, reference: str) -> tuple[str, dict[str, str]]:
    path = reference.removeprefix("ssm:")
    if not path.strip("/ "):
        raise Invalid(f"{reference!r} names no parameter; allowed: ssm:/PATH")
    try:
        found = cloud.read("ssm", "get_parameter", Name=path)["Parameter"]
    except NotFound as error:
        raise NotFound(f"there is no parameter {path} in {cloud.place.region}; {_near(cloud, path)}") from error
    value = str(found["Value"]).strip()
    if found.get("Type") == "SecureString":
        raise Invalid(f"parameter {path} is a SecureString, which is not read; an image id belongs into a String")
    if not AMI.fullmatch(value):
        hint = f"; did you mean ssm:{path}/image_id?" if "image_id" in value else ""
        raise Invalid(f"parameter {path} holds {value[:80]!r}, an image id (ami-…) is needed{hint}")
    changed = found.get("LastModifiedDate")
    return value, {
        "parameter": str(found.get("ARN") or path),
        "parameter_version": str(found["Version"]),
        "parameter_changed": changed.isoformat() if changed else "",
    }


def _near(cloud: Cloud, path: str) -> str:
    """Parameters beside it, or one level up."""
    parts = path.strip("/").split("/")
    for depth in range(len(parts) - 1, 0, -1):
        above = "/" + "/".join(parts[:depth])
        try:
            answer = cloud.read("ssm", "get_parameters_by_path", Path=above, Recursive=True, MaxResults=10)
        except (NotFound, Denied, Invalid):
            continue
        names = [str(each["Name"]) for each in answer.get("Parameters", ())]
        if names:
            return f"below {above} are {', '.join(f'ssm:{name}' for name in names)}"
    return "nothing is known near it"


def _newest(cloud: Cloud, reference: str, architecture: str) -> str:
    owner, slash, pattern = reference.removeprefix("name:").partition("/")
    if not OWNER.fullmatch(owner) or not slash or not pattern:
        raise Invalid(f"{reference!r}: name:OWNER/PATTERN is needed, with self, amazon or an account's 12 digits")
    filters = {"name": pattern, "architecture": architecture, "state": "available"}
    found = _images(cloud, owner, filters)
    if not found:
        known = _images(cloud, owner, {"architecture": architecture}) if owner != "amazon" else []
        listed = [f"name:{owner}/{image.get('Name')} ({image['ImageId']})" for image in _latest_first(known)]
        near = f"{owner} has {', '.join(_nearest(reference, listed))}" if listed else f"{owner} has none that is seen"
        raise NotFound(f"no available {architecture} image of {owner} is called {pattern}; {near}")
    return str(_latest_first(found)[0]["ImageId"])


def _images(cloud: Cloud, owner: str, filters: Mapping[str, str]) -> list[Mapping[str, Any]]:
    wanted = [{"Name": key, "Values": [value]} for key, value in filters.items()]
    return cloud.pages("ec2", "describe_images", "Images", Owners=[owner], Filters=wanted)


def _latest_first(images: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By date; images of one date by id, so that everybody picks the same."""
    return sorted(images, key=lambda image: (str(image.get("CreationDate", "")), str(image["ImageId"])), reverse=True)


def _known_here(cloud: Cloud, reference: str) -> str:
    return f"{_own_images(cloud, reference)}; {_own_parameters(cloud, reference)}"


def _own_images(cloud: Cloud, reference: str) -> str:
    try:
        found = _latest_first(_images(cloud, "self", {"state": "available"}))
    except (Denied, Transient) as error:
        return f"this account's own images cannot be listed ({error})"
    listed = [f"name:self/{image.get('Name')} ({image['ImageId']})" for image in found]
    return f"this account's own: {', '.join(_nearest(reference, listed)) or 'none'}"


def _own_parameters(cloud: Cloud, reference: str) -> str:
    try:
        found = cloud.read("ssm", "describe_parameters", MaxResults=LISTED).get("Parameters", [])
    except (Denied, Transient) as error:
        return f"its parameters cannot be listed ({error})"
    named = [
        f"ssm:{one['Name']}"
        for one in found
        if one.get("DataType") == IMAGE_TYPE or re.search(r"ami|image|base|golden", str(one["Name"]), re.IGNORECASE)
    ]
    return f"its parameters: {', '.join(_nearest(reference, named)) or 'none that names an image'}"


def _nearest(reference: str, names: list[str]) -> list[str]:
    """At most SHOWN of them: the most alike first, then in the order given."""
    near = difflib.get_close_matches(reference, names, n=SHOWN, cutoff=0.3)
    return [*near, *(name for name in names if name not in near)][:SHOWN]
