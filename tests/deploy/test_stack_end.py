"""A stack's end: protected while it holds what cannot be made again, and nothing of it is left afterwards."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from tests.deploy.account import Account, account_server, buckets

pytestmark = pytest.mark.slow


def remains(account: Account) -> dict[str, object]:
    """What an account holds of everything that our templates make."""
    ec2 = account.ec2
    return {
        "stacks": [stack["StackName"] for stack in account.cloudformation.describe_stacks()["Stacks"]],
        "networks": [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]],
        "subnets": len(ec2.describe_subnets()["Subnets"]),
        "routes": len(ec2.describe_route_tables()["RouteTables"]),
        "groups": [group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]],
        "ways out": [one for one in ec2.describe_nat_gateways()["NatGateways"] if one["State"] != "deleted"],
        "gateways": ec2.describe_internet_gateways()["InternetGateways"],
        "endpoints": [one for one in ec2.describe_vpc_endpoints()["VpcEndpoints"] if one["State"] != "deleted"],
        "addresses": ec2.describe_addresses()["Addresses"],
        "flow logs": ec2.describe_flow_logs()["FlowLogs"],
        "machines": account.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"],
        "templates": ec2.describe_launch_templates()["LaunchTemplates"],
        "balancers": account.elbv2.describe_load_balancers()["LoadBalancers"],
        "targets": account.elbv2.describe_target_groups()["TargetGroups"],
        "roles": account.iam.list_roles()["Roles"],
        "profiles": account.iam.list_instance_profiles()["InstanceProfiles"],
        "databases": account.rds.describe_db_instances()["DBInstances"],
        "database subnets": account.rds.describe_db_subnet_groups()["DBSubnetGroups"],
        "redis": [
            one for one in account.elasticache.describe_replication_groups()["ReplicationGroups"] if one["Status"] != "deleting"
        ],
        "buckets": buckets(account),
        "secrets": account.secretsmanager.list_secrets()["SecretList"],
        "alarms": account.cloudwatch.describe_alarms()["MetricAlarms"],
        "dashboards": account.cloudwatch.list_dashboards()["DashboardEntries"],
        "topics": account.sns.list_topics()["Topics"],
        "logs": account.logs.describe_log_groups()["logGroups"],
        "zones": account.route53.list_hosted_zones()["HostedZones"],
    }


def take_protection(account: Account) -> None:
    """What an update with DeletionProtection=false does."""
    account.rds.modify_db_instance(DBInstanceIdentifier="portal", DeletionProtection=False)
    for balancer in account.elbv2.describe_load_balancers()["LoadBalancers"]:
        off = [{"Key": "deletion_protection.enabled", "Value": "false"}]
        account.elbv2.modify_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=off)


@pytest.mark.parametrize("name", ["origin", "network"])
def test_a_deleted_stack_leaves_the_databases_last_snapshot_and_nothing_else(name: str, tmp_path: Path) -> None:
    with account_server(tmp_path) as account:
        before = remains(account)
        account.create(name)
        take_protection(account)
        account.cloudformation.delete_stack(StackName=name)
        assert remains(account) == before
        snapshots = account.rds.describe_db_snapshots()["DBSnapshots"]
        assert [snapshot["DBInstanceIdentifier"] for snapshot in snapshots] == ["portal"]


def test_no_film_goes_with_its_stack(tmp_path: Path) -> None:
    with account_server(tmp_path) as account:
        account.create("origin")
        (films,) = [name for name in buckets(account) if "films" in name]
        account.s3.delete_bucket_policy(Bucket=films)  # moto takes a denial for one without its condition
        account.s3.put_object(Bucket=films, Key="cases/x", Body=b"a film")
        with pytest.raises(ResponseParserError, match="is not empty"):  # moto answers in plain text
            account.cloudformation.delete_stack(StackName="origin")
        assert account.s3.get_object(Bucket=films, Key="cases/x")["Body"].read() == b"a film"


def test_a_protected_database_is_not_deleted(network: Account) -> None:
    with pytest.raises(ClientError, match="protection"):
        network.rds.delete_db_instance(DBInstanceIdentifier="portal", SkipFinalSnapshot=True)
