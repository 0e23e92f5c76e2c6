"""What each role may do at AWS, reviewed by hand: the operations, on what, under which condition, and why.

An operation that is not named here is granted to nobody, and one that no code calls gets into no policy (see
`permissions`). `implied` are actions that no code asks for and that AWS checks nevertheless.

Words in capitals in the ARNs are for the reader to fill in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["observe", "rollout", "bake", "rollback", "reaper"]
ROLES: Mapping[Role, str] = {
    "observe": "status, plan, doctor and the console: reads only",
    "rollout": "rollouts and their way back; give the same role observe.json, too",
    "bake": "bake: references; for a role that has observe.json and rollout.json, too",
    "rollback": "rollout rollback alone: it moves traffic, marks it, and can do nothing else",
    "reaper": "removes what a rollout left behind, and only what carries this program's own tag",
}
WITH: Mapping[str, tuple[Role, ...]] = {"rollout": ("observe",), "bake": ("observe", "rollout")}
"""Whose policy a role is given besides: all in one document would be longer than IAM takes."""
PREFIXES: Mapping[str, str] = {"elbv2": "elasticloadbalancing", "service-quotas": "servicequotas"}
"""IAM's prefix where it differs from the SDK's name."""
RENAMED: Mapping[str, tuple[str, ...]] = {}
"""IAM's actions of an operation where they are not called as it is. None of these is, today."""

OWNER = "rollout-manager:owner"
OURS = "rollout-manager/*"
HERE = "REGION:ACCOUNT"
GROUPS = f"arn:aws:autoscaling:{HERE}:autoScalingGroup:*:autoScalingGroupName/SERVICE-*"
LISTENERS = f"arn:aws:elasticloadbalancing:{HERE}:listener/*/BALANCER/*"
RULES = f"arn:aws:elasticloadbalancing:{HERE}:listener-rule/*/BALANCER/*"
TARGETS = f"arn:aws:elasticloadbalancing:{HERE}:targetgroup/SERVICE-*/*"
INSTANCES = f"arn:aws:ec2:{HERE}:instance/*"
TEMPLATES = f"arn:aws:ec2:{HERE}:launch-template/*"
OF_OURS = {"StringLike": {f"aws:ResourceTag/{OWNER}": OURS}}
TAGGED_OURS = {"StringLike": {f"aws:RequestTag/{OWNER}": OURS}}
OF_THE_GROUPS = {"StringLike": {"aws:ResourceTag/aws:autoscaling:groupName": "SERVICE-*"}}


@dataclass(frozen=True, slots=True)
class Grant:
    """One statement. `operations` as `api.Operation`; `implied` as IAM says, granted if any of `when` is called."""

    sid: str
    roles: str
    operations: str
    why: str
    resources: tuple[str, ...] = ("*",)
    condition: Mapping[str, Any] = field(default_factory=dict)
    implied: str = ""
    when: str = ""


CREATES = "autoscaling.CreateAutoScalingGroup autoscaling.UpdateAutoScalingGroup"
LAUNCHES = f"{CREATES} ec2.RunInstances"

READS = (
    Grant(
        "KnowWhoWeAre",
        "observe rollout rollback reaper",
        "sts.GetCallerIdentity",
        "AWS lets everybody ask; named for completeness. The declared account is compared with the answer.",
    ),
    Grant(
        "ReadRoutesWhichAwsDoesNotNarrow",
        "observe rollout rollback reaper",
        "elbv2.DescribeListeners elbv2.DescribeRules elbv2.DescribeTags elbv2.DescribeTargetHealth "
        "elbv2.DescribeTargetGroups autoscaling.DescribeAutoScalingGroups",
        "where traffic goes and who could take it; AWS has no narrower resource for Describe calls",
    ),
    Grant(
        "FindTheServiceOfAHostWhichAwsDoesNotNarrow",
        "rollback",
        "elbv2.DescribeLoadBalancers ec2.DescribeInstances",
        "rollout rollback i-0abc…, an address or a balancer's name, also without a rollback card; leave it out, and "
        "only what a card names leads there",
    ),
    Grant(
        "ReadGroupsWhichAwsDoesNotNarrow",
        "observe rollout",
        "autoscaling.DescribeInstanceRefreshes autoscaling.DescribeLifecycleHooks "
        "autoscaling.DescribeNotificationConfigurations autoscaling.DescribePolicies "
        "autoscaling.DescribeScalingActivities autoscaling.DescribeScheduledActions "
        "elbv2.DescribeLoadBalancers elbv2.DescribeTargetGroupAttributes elbv2.DescribeAccountLimits",
        "what both sides are; AWS has no narrower resource for Describe calls",
    ),
    Grant(
        "ReadHostsWhichAwsDoesNotNarrow",
        "observe rollout reaper",
        "ec2.DescribeInstances ec2.DescribeLaunchTemplates ec2.DescribeLaunchTemplateVersions ec2.DescribeImages",
        "hosts and their templates; AWS has no narrower resource for Describe calls",
    ),
    Grant(
        "ReadWhatALaunchNeedsWhichAwsDoesNotNarrow",
        "observe rollout",
        "ec2.DescribeInstanceStatus ec2.DescribeSubnets ec2.DescribeSnapshots ec2.DescribeInstanceTypes "
        "service-quotas.GetServiceQuota",
        "what could keep new hosts from running; AWS has no narrower resource for Describe calls",
    ),
    Grant(
        "ReadConsoles",
        "observe rollout",
        "ec2.GetConsoleOutput",
        "the last lines of a host that does not come up",
        (INSTANCES,),
        OF_THE_GROUPS,
    ),
    Grant(
        "ReadFiguresWhichAwsDoesNotNarrow",
        "observe rollout",
        "cloudwatch.GetMetricData cloudwatch.DescribeAlarms",
        "the balancer's counters and your alarms",
    ),
    Grant(
        "ReadPatchesWhichAwsDoesNotNarrow",
        "observe rollout",
        "ssm.DescribeInstanceInformation ssm.DescribeInstancePatchStates ssm.ListInventoryEntries "
        "ssm.ListCommandInvocations ssm.ListCommands ssm.GetDefaultPatchBaseline "
        "ssm.GetPatchBaselineForPatchGroup ssm.DescribeParameters",
        "what hosts really run; AWS has no narrower resource for most of these",
    ),
    Grant(
        "ReadImageParameters",
        "observe rollout",
        "ssm.GetParameter ssm.GetParametersByPath",
        "references such as ssm:/golden/web, and templates whose image is a parameter: EC2 resolves it as whoever "
        "asks. Put your own path in the place of IMAGES",
        ("arn:aws:ssm:REGION::parameter/aws/service/*", f"arn:aws:ssm:{HERE}:parameter/IMAGES/*"),
        implied="ssm:GetParameters",
        when="ec2.DescribeLaunchTemplateVersions",
    ),
    Grant(
        "ReadKeysOfVolumes",
        "observe rollout",
        "kms.DescribeKey kms.ListGrants",
        "is the key that new volumes need usable",
        (f"arn:aws:kms:{HERE}:key/KEY",),
    ),
    Grant(
        "AskWhatThisRoleMayDo",
        "observe rollout",
        "iam.SimulatePrincipalPolicy",
        "rollout doctor; leave it out, and doctor says what it cannot check",
        ("arn:aws:iam::ACCOUNT:role/THIS_ROLE",),
    ),
)

TRAFFIC = (
    Grant(
        "MoveTrafficOfThisBalancer",
        "rollout rollback",
        "elbv2.ModifyListener elbv2.ModifyRule",
        "weights; only on listeners and rules of the balancer that you name",
        (LISTENERS, RULES),
    ),
    Grant(
        "MarkTheRouteWithOurTagsOnly",
        "rollout rollback",
        "elbv2.AddTags elbv2.RemoveTags",
        "the hold mark of a rollback, and the way back of a rollout",
        (LISTENERS, RULES),
        {"ForAllValues:StringLike": {"aws:TagKeys": "rollout-manager:*"}},
    ),
    Grant(
        "MakeHostsTargets",
        "rollout",
        "elbv2.RegisterTargets elbv2.DeregisterTargets",
        "hosts of these services into their target groups",
        (TARGETS,),
    ),
)

HOSTS = (
    Grant(
        "ChangeTheGroupsOfTheseServices",
        "rollout",
        "autoscaling.AttachLoadBalancerTargetGroups autoscaling.DetachLoadBalancerTargetGroups "
        "autoscaling.UpdateAutoScalingGroup autoscaling.SetDesiredCapacity autoscaling.CreateOrUpdateTags "
        "autoscaling.DeleteTags autoscaling.SuspendProcesses autoscaling.ResumeProcesses "
        "autoscaling.PutScalingPolicy autoscaling.DeletePolicy autoscaling.PutLifecycleHook "
        "autoscaling.DeleteLifecycleHook autoscaling.PutNotificationConfiguration "
        "autoscaling.DeleteNotificationConfiguration autoscaling.PutScheduledUpdateGroupAction "
        "autoscaling.DeleteScheduledAction autoscaling.EnableMetricsCollection "
        "autoscaling.DisableMetricsCollection autoscaling.SetInstanceProtection autoscaling.PutWarmPool "
        "autoscaling.DeleteWarmPool",
        "image, size, targets and scaling of both sides; only groups whose names you give",
        (GROUPS,),
    ),
    Grant(
        "CreateGroupsThatSayWhoseTheyAre",
        "rollout",
        "autoscaling.CreateAutoScalingGroup",
        "a side on demand carries this program's tag from its first moment",
        (GROUPS,),
        TAGGED_OURS,
    ),
    Grant(
        "DeleteOnlyGroupsOfOurs",
        "rollout reaper",
        "autoscaling.DeleteAutoScalingGroup",
        "only what carries this program's tag",
        (f"arn:aws:autoscaling:{HERE}:autoScalingGroup:*:autoScalingGroupName/*",),
        OF_OURS,
    ),
    Grant(
        "EmptyOnlyGroupsOfOurs",
        "reaper",
        "autoscaling.UpdateAutoScalingGroup autoscaling.SetDesiredCapacity",
        "before it is deleted; only what carries this program's tag",
        (f"arn:aws:autoscaling:{HERE}:autoScalingGroup:*:autoScalingGroupName/*",),
        OF_OURS,
    ),
    Grant(
        "CreateTemplatesThatSayWhoseTheyAre",
        "rollout",
        "ec2.CreateLaunchTemplate",
        "a side on demand has a template of its own, tagged",
        (TEMPLATES,),
        TAGGED_OURS,
    ),
    Grant(
        "AddTemplateVersions",
        "rollout",
        "ec2.CreateLaunchTemplateVersion",
        "a version with another image. A template's ARN has no name in it: put those of your services here",
        (TEMPLATES,),
    ),
    Grant(
        "DeleteOnlyTemplatesOfOurs",
        "rollout reaper",
        "ec2.DeleteLaunchTemplate",
        "only what carries this program's tag",
        (TEMPLATES,),
        OF_OURS,
    ),
    Grant(
        "LaunchThroughTemplates",
        "rollout",
        "",
        "Auto Scaling checks it for whoever gives a group a template; many kinds of resource take part in a launch",
        condition={"ArnLike": {"ec2:LaunchTemplate": TEMPLATES}},
        implied="ec2:RunInstances",
        when=LAUNCHES,
    ),
    Grant(
        "TagWhatIsBeingCreated",
        "rollout",
        "",
        "tags of templates, hosts, volumes and images, at their creation only",
        (f"arn:aws:ec2:{HERE}:*/*", "arn:aws:ec2:REGION::image/*", "arn:aws:ec2:REGION::snapshot/*"),
        {"StringEquals": {"ec2:CreateAction": ["RunInstances", "CreateLaunchTemplate", "CreateImage"]}},
        implied="ec2:CreateTags",
        when=f"{LAUNCHES} ec2.CreateLaunchTemplate ec2.CreateImage",
    ),
    Grant(
        "GiveHostsTheirRole",
        "rollout",
        "",
        "Auto Scaling and EC2 check it where a template names an instance profile; put that profile's role here",
        ("arn:aws:iam::ACCOUNT:role/INSTANCE_ROLE",),
        {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        implied="iam:PassRole",
        when=LAUNCHES,
    ),
    Grant(
        "GiveAutoScalingTheRolesOfACopy",
        "rollout",
        "",
        "checked where a group has a service-linked role with a suffix, or hooks with a role (put it in the place of "
        "HOOK_ROLE): a standby on demand gets the same; leave it out where none has",
        (
            "arn:aws:iam::ACCOUNT:role/HOOK_ROLE",
            "arn:aws:iam::ACCOUNT:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling_*",
        ),
        {"StringEquals": {"iam:PassedToService": "autoscaling.amazonaws.com"}},
        implied="iam:PassRole",
        when=f"{CREATES} autoscaling.PutLifecycleHook",
    ),
    Grant(
        "UseTheKeyOfEncryptedVolumes",
        "rollout",
        "",
        "checked where a template's volumes are encrypted with a key of yours; leave it out where none are",
        (f"arn:aws:kms:{HERE}:key/KEY",),
        {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        implied="kms:CreateGrant",
        when=LAUNCHES,
    ),
)

PATCHES = (
    Grant(
        "LaunchHostsThatSayWhoseTheyAre",
        "bake",
        "ec2.RunInstances",
        "bake: references start one host, tagged from its first moment",
        (INSTANCES,),
        TAGGED_OURS,
    ),
    Grant(
        "LaunchThemWith",
        "bake",
        "ec2.RunInstances",
        "the same launch, for what takes part in it",
        (
            f"arn:aws:ec2:{HERE}:network-interface/*",
            f"arn:aws:ec2:{HERE}:subnet/*",
            f"arn:aws:ec2:{HERE}:security-group/*",
            f"arn:aws:ec2:{HERE}:volume/*",
            "arn:aws:ec2:REGION::image/*",
            "arn:aws:ec2:REGION::snapshot/*",
        ),
    ),
    Grant(
        "RunPatchDocuments",
        "rollout",
        "ssm.SendCommand",
        "in-place and bake: references; one document of AWS's",
        ("arn:aws:ssm:REGION::document/AWS-RunPatchBaseline",),
    ),
    Grant(
        "MarkHostsOfTheseGroups",
        "rollout",
        "ec2.CreateTags",
        "which patches and which reboot a host has had",
        (INSTANCES,),
        {**OF_THE_GROUPS, "ForAllValues:StringLike": {"aws:TagKeys": "rollout-manager:*"}},
    ),
    Grant(
        "PatchHostsOfTheseGroups",
        "rollout",
        "ssm.SendCommand ec2.RebootInstances",
        "a side that serves nothing",
        (INSTANCES,),
        OF_THE_GROUPS,
    ),
    Grant(
        "PatchHostsOfOurs",
        "bake",
        "ssm.SendCommand",
        "the host that an image is made from; only what carries this program's tag",
        (INSTANCES,),
        OF_OURS,
    ),
    Grant(
        "EndOnlyHostsOfOurs",
        "bake reaper",
        "ec2.TerminateInstances",
        "only what carries this program's tag",
        (INSTANCES,),
        OF_OURS,
    ),
    Grant(
        "MakeImagesFromHostsOfOurs",
        "bake",
        "ec2.CreateImage",
        "bake: references; only from what carries this program's tag",
        (INSTANCES,),
        OF_OURS,
    ),
    Grant(
        "KeepTheImageThatIsMade",
        "bake",
        "ec2.CreateImage",
        "the same act, for the image and its snapshots",
        ("arn:aws:ec2:REGION::image/*", "arn:aws:ec2:REGION::snapshot/*"),
    ),
    Grant(
        "RemoveImagesOfOurs",
        "bake reaper",
        "ec2.DeregisterImage",
        "only what carries this program's tag",
        ("arn:aws:ec2:REGION::image/*", "arn:aws:ec2:REGION::snapshot/*"),
        OF_OURS,
    ),
)

GRANTS: tuple[Grant, ...] = (*READS, *TRAFFIC, *HOSTS, *PATCHES)
