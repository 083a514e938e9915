"""Groups of machines and what their roles may, asked of the API after both stacks were made."""

import base64
from typing import Any

import pytest

from tests.deploy.account import Account, buckets, launch_data, machine_groups, subnets

pytestmark = pytest.mark.slow


def policies(account: Account, group: str) -> list[dict[str, Any]]:
    """Every statement of the role of a group's machines."""
    iam = account.iam
    profile = launch_data(account, machine_groups(account)[group])["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    (role,) = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    assert iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"] == []
    names = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    documents = [iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"] for name in names]
    return [statement for document in documents for statement in document["Statement"]]


def actions(statements: list[dict[str, Any]]) -> set[str]:
    return {
        action
        for given in statements
        for action in ([given["Action"]] if isinstance(given["Action"], str) else given["Action"])
    }


def test_origin_is_the_five_machines(origin: Account) -> None:
    found = machine_groups(origin)
    assert {name: launch_data(origin, group)["InstanceType"] for name, group in found.items()} == {
        "frontend": "t3.micro",
        "ui": "t3.micro",
        "application": "t3.medium",
        "worker": "g4dn.xlarge",
        "monitoring": "t3.micro",
    }
    assert {(group["MinSize"], group["MaxSize"]) for group in found.values()} == {(1, 1)}


def test_network_has_groups_that_grow_behind_a_load_balancer(network: Account) -> None:
    found = machine_groups(network)
    sizes = {name: (group["MinSize"], group["MaxSize"]) for name, group in found.items()}
    assert sizes == {"ui": (2, 6), "application": (2, 6), "worker": (2, 8), "monitoring": (1, 1)}
    private = {subnets(network)[f"private-{letter}"]["SubnetId"] for letter in "abc"}
    assert all(set(group["VPCZoneIdentifier"].split(",")) == private for group in found.values())
    assert found["ui"]["TargetGroupARNs"] != found["application"]["TargetGroupARNs"]


def test_every_machine_takes_metadata_tokens_alone_and_encrypts_its_disk(account: Account) -> None:
    for group in machine_groups(account).values():
        data = launch_data(account, group)
        assert data["MetadataOptions"]["HttpTokens"] == "required"
        assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
        assert [str(disk["Ebs"]["Encrypted"]).lower() for disk in data["BlockDeviceMappings"]] == ["true"]


def test_only_the_front_end_has_a_public_address(origin: Account) -> None:
    public = {
        name: str(launch_data(origin, group)["NetworkInterfaces"][0]["AssociatePublicIpAddress"]).lower()
        for name, group in machine_groups(origin).items()
    }
    assert public.pop("frontend") == "true"
    assert set(public.values()) == {"false"}


def test_no_role_may_everything_of_a_service(account: Account) -> None:
    for group in machine_groups(account):
        assert not [action for action in actions(policies(account, group)) if "*" in action]


def test_only_machines_that_read_films_may_read_films(account: Account) -> None:
    films = {group for group in machine_groups(account) if "s3:PutObject" in actions(policies(account, group))}
    assert films == {"ui", "application", "worker"}
    (bucket,) = [name for name in buckets(account) if "films" in name]
    for group in films:
        resources = [s["Resource"] for s in policies(account, group) if "s3:PutObject" in s["Action"]]
        assert resources == [f"arn:aws:s3:::{bucket}/*"]


def test_metrics_are_written_into_our_namespace_alone(account: Account) -> None:
    for group in machine_groups(account):
        (statement,) = [s for s in policies(account, group) if s["Action"] == "cloudwatch:PutMetricData"]
        assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": "ChestXrayPortal"}}


def test_monitoring_reads_neither_the_sessions_key_nor_the_audit_logs(account: Account) -> None:
    def described(group: str) -> set[str]:
        (statement,) = [s for s in policies(account, group) if s["Action"] == "secretsmanager:GetSecretValue"]
        secrets = account.secretsmanager
        return {secrets.describe_secret(SecretId=arn)["Description"].partition(",")[0] for arn in statement["Resource"]}

    assert described("monitoring") == {"METRICS_TOKEN", "AUTH token of Redis", "log-in of the database"}
    assert described("worker") > {"SECRET_KEY", "AUDIT_KEY", "PSEUDONYM_KEY"}


def test_user_data_starts_nothing_but_the_release_it_was_told(account: Account) -> None:
    given = base64.b64decode(launch_data(account, machine_groups(account)["worker"])["UserData"]).decode()
    assert f'echo "{"0" * 64}  /root/release.tar.gz" | sha256sum --check --strict' in given
    assert "INSTALL_ROLE=worker" in given
    assert "${" not in given
