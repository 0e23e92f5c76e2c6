"""What would keep a standby from running beside the original, or disturb it: each part asked by itself.

A part that cannot be read is an unknown concern and hides no other part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from providers.aws import alarms, neighbours, obstacles, room, schedules, target_limits, vcpus
from providers.aws.cloud import Cloud
from providers.aws.groups import read_groups
from providers.aws.options import Options
from providers.aws.outlook import Ahead, blocks, unknown
from providers.aws.slots import missing_standby
from providers.aws.whole import Whole
from providers.base import Concern, ProviderError, Slot

Part = Callable[[Ahead], list[Concern]]
OF_GROUPS: Sequence[tuple[str, Part]] = (
    ("the sizes of the groups", room.sizes),
    ("what both sides share", room.shared),
    ("free addresses in the subnets", room.addresses),
    ("vCPU quotas", vcpus.vcpus),
    ("targets that the balancer may have", target_limits.targets),
    ("target groups that are no declared route", neighbours.undeclared),
    ("who else launches from the standby's template", neighbours.latest),
    ("protected hosts and suspended processes", schedules.protected),
    ("warm pools", obstacles.warm_pools),
    ("instance refreshes", obstacles.refreshes),
    ("sides that are patched in place", obstacles.in_place),
)
OF_NAMES: Sequence[tuple[str, Part]] = (
    ("scheduled actions", schedules.scheduled),
    ("alarms that name one slot", alarms.one_sided),
    ("how the target groups drain and stick", schedules.connections),
    ("how the routes stick", schedules.stickiness),
)


def concerns(
    cloud: Cloud, whole: Whole, options: Options, original: Slot, image: str, capacity: int, until: float
) -> list[Concern]:
    """All that was found, what blocks first."""
    found: list[Concern] = []
    groups, parts = {}, [*OF_GROUPS, *OF_NAMES]
    try:
        groups = read_groups(cloud, (options.blue, options.green))
        if options.group(original) not in groups:
            found.append(
                blocks(f"Auto Scaling group {options.group(original)} does not exist: name the one that serves")
            )
            parts = list(OF_NAMES)
        elif why := missing_standby(options, groups):
            found.append(blocks(why))
    except ProviderError as error:
        found.append(unknown(f"the Auto Scaling groups, and with them the room for a standby: {_why(error)}"))
        parts = list(OF_NAMES)
    ahead = Ahead(cloud, options, original, capacity, until, groups, whole, image)
    for what, part in parts:
        found += _asked(what, part, ahead)
    order = ("blocks", "unknown", "notice")
    return sorted(found, key=lambda one: order.index(one.kind))


def _asked(what: str, part: Part, ahead: Ahead) -> list[Concern]:
    try:
        return part(ahead)
    except ProviderError as error:
        return [unknown(f"{what}: {_why(error)}")]
    except (KeyError, IndexError, TypeError, ValueError) as error:  # an answer that is not as AWS documents it
        return [unknown(f"{what}: the answer makes no sense ({type(error).__name__}: {error})")]


def _why(error: ProviderError) -> str:
    return f"cannot be read ({type(error).__name__}): {error}"
