"""An AWS account on a server of its own, the stacks in it, and what the services' API says stands there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy import templates
from tests.deploy.aws_api import Api
from tests.servers import free_port, port_answers, process, wait_until

ROOT = Path(__file__).parents[2]
ANYWHERE = "0.0.0.0/0"


class Account(Api):
    """Clients of one account, and its stacks."""

    def create(self, name: str, **changes: str) -> None:
        """The stack of a parameter file, as a user makes it."""
        given = templates.parameters(name, **changes)
        if "CertificateArn" in given:
            given["CertificateArn"] = self.acm.request_certificate(DomainName=given["Hostname"])["CertificateArn"]
        self.s3.create_bucket(Bucket="templates")
        body = templates.package(self.s3, "templates")
        arguments = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
        self.cloudformation.create_stack(
            StackName=name, TemplateBody=body, Parameters=arguments, Capabilities=["CAPABILITY_IAM"]
        )
        states = {stack["StackName"]: stack["StackStatus"] for stack in self.cloudformation.describe_stacks()["Stacks"]}
        if set(states.values()) != {"CREATE_COMPLETE"}:
            raise RuntimeError(f"Not every stack was made: {states}")


@contextmanager
def account_server(directory: Path) -> Iterator[Account]:
    """An empty account."""
    port = free_port()
    command = [sys.executable, "-m", "tests.deploy.aws_server", str(port)]
    environment = {"PATH": "/usr/bin:/bin", "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
    with process(command, directory / "aws.log", cwd=ROOT, env=environment):
        wait_until(lambda: port_answers(port), "the AWS server's start")
        yield Account(f"http://127.0.0.1:{port}")


def tag(thing: dict[str, Any], key: str = "Name") -> str:
    return next((str(entry["Value"]) for entry in thing.get("Tags", []) if entry["Key"] == key), "")


def our_vpc(account: Account) -> dict[str, Any]:
    (vpc,) = [vpc for vpc in account.ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]
    return dict(vpc)


def of_our_vpc(account: Account, method: str, answer: str) -> list[dict[str, Any]]:
    found = getattr(account.ec2, method)(Filters=[{"Name": "vpc-id", "Values": [our_vpc(account)["VpcId"]]}])
    return list(found[answer])


def subnets(account: Account) -> dict[str, dict[str, Any]]:
    return {tag(subnet): subnet for subnet in of_our_vpc(account, "describe_subnets", "Subnets")}


def groups(account: Account) -> dict[str, dict[str, Any]]:
    found = of_our_vpc(account, "describe_security_groups", "SecurityGroups")
    return {tag(group): group for group in found if group["GroupName"] != "default"}


def machine_groups(account: Account) -> dict[str, dict[str, Any]]:
    found = account.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    return {tag(group, "PortalGroup"): group for group in found}


def launch_data(account: Account, group: dict[str, Any]) -> dict[str, Any]:
    template = group["LaunchTemplate"]["LaunchTemplateId"]
    versions = account.ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=["$Latest"])
    return dict(versions["LaunchTemplateVersions"][0]["LaunchTemplateData"])


def buckets(account: Account) -> list[str]:
    return [bucket["Name"] for bucket in account.s3.list_buckets()["Buckets"] if bucket["Name"] != "templates"]
