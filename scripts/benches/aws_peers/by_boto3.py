"""What a careful person writes with boto3 in an afternoon: one service patched behind its balancer, without gates,
journal or way back. Retry and concurrency are the SDK's own. Run as: by_boto3.py URL WORLD.json [THREADS]
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

url, world = sys.argv[1], json.load(open(sys.argv[2]))  # noqa: PTH123, SIM115
threads = int(sys.argv[3]) if len(sys.argv) > 3 else 1
config = Config(max_pool_connections=32)
ec2, groups, balancer = (
    boto3.client(api, region_name=world["region"], endpoint_url=url, config=config)
    for api in ("ec2", "autoscaling", "elbv2")
)


def patch(service: dict[str, Any]) -> None:
    blue, green, template = service["blue"], service["green"], service["green_template"]
    found = groups.describe_auto_scaling_groups(AutoScalingGroupNames=[blue])["AutoScalingGroups"][0]
    wanted = found["DesiredCapacity"]
    source = {"LaunchTemplateId": found["LaunchTemplate"]["LaunchTemplateId"]}
    data = ec2.describe_launch_template_versions(**source, Versions=["1"])["LaunchTemplateVersions"][0]
    made = ec2.create_launch_template_version(
        LaunchTemplateId=template, LaunchTemplateData={**data["LaunchTemplateData"], "ImageId": world["image"]}
    )
    groups.update_auto_scaling_group(
        AutoScalingGroupName=green,
        LaunchTemplate={
            "LaunchTemplateId": template,
            "Version": str(made["LaunchTemplateVersion"]["VersionNumber"]),
        },
        MinSize=wanted,
        DesiredCapacity=wanted,
    )
    groups.attach_load_balancer_target_groups(AutoScalingGroupName=green, TargetGroupARNs=[service["green_targets"]])
    swap(service, 0)
    while True:
        targets = balancer.describe_target_health(TargetGroupArn=service["green_targets"])["TargetHealthDescriptions"]
        if sum(each["TargetHealth"]["State"] == "healthy" for each in targets) >= wanted:
            break
        time.sleep(0.2)
    for percent in (10, 50, 100):
        swap(service, percent)
    groups.update_auto_scaling_group(AutoScalingGroupName=blue, MinSize=0, DesiredCapacity=0)


def swap(service: dict[str, Any], percent: int) -> None:
    pairs = [(service["green_targets"], percent), (service["blue_targets"], 100 - percent)]
    forward = {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in pairs]}
    balancer.modify_listener(
        ListenerArn=service["listener"], DefaultActions=[{"Type": "forward", "ForwardConfig": forward}]
    )


with ThreadPoolExecutor(threads) as pool:
    list(pool.map(patch, world["services"]))
