"""Films, database, Redis, logs and alarms, asked of the API after both stacks were made."""

import json
from typing import Any

import pytest

from tests.deploy.account import Account, buckets, machine_groups, our_vpc

pytestmark = pytest.mark.slow
ALARMS_OF_BOTH = {
    "CasesWait", "NoCaseWaits", "CasesWaitTooLong", "TooFewWorkers", "DatabaseBusy", "DatabaseFull", "RedisFull", "RedisEvicts",
    "NatAFull", "UiDiskFull", "ApplicationDiskFull", "WorkerDiskFull", "MonitoringDiskFull",
}  # fmt: skip


def test_buckets_are_private_versioned_and_refuse_plain_http(account: Account) -> None:
    s3 = account.s3
    assert len(buckets(account)) == 2
    for name in buckets(account):
        assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
        assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
        statements = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"]
        denial = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
        assert [s for s in statements if denial.items() <= s.items()]


def test_films_are_encrypted_with_a_key_that_is_changed_every_year(account: Account) -> None:
    s3, kms = account.s3, account.kms
    (films,) = [name for name in buckets(account) if "films" in name]
    (rule,) = s3.get_bucket_encryption(Bucket=films)["ServerSideEncryptionConfiguration"]["Rules"]
    given = rule["ApplyServerSideEncryptionByDefault"]
    assert given["SSEAlgorithm"] == "aws:kms"
    assert kms.get_key_rotation_status(KeyId=given["KMSMasterKeyID"])["KeyRotationEnabled"]
    rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=films)["Rules"]}
    assert rules["forget-earlier-versions"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30


def test_database_is_encrypted_backed_up_and_reached_over_tls_alone(account: Account) -> None:
    rds = account.rds
    (database,) = rds.describe_db_instances()["DBInstances"]
    assert database["StorageEncrypted"]
    assert not database["PubliclyAccessible"]
    assert database["BackupRetentionPeriod"] >= 14
    (settings,) = database["DBParameterGroups"]
    found = rds.describe_db_parameters(DBParameterGroupName=settings["DBParameterGroupName"])["Parameters"]
    assert {p["ParameterName"]: p["ParameterValue"] for p in found}["rds.force_ssl"] == "1"


def test_network_keeps_a_second_database_and_a_second_redis(origin: Account, network: Account) -> None:
    (alone,), (pair,) = (a.rds.describe_db_instances()["DBInstances"] for a in (origin, network))
    assert (alone["MultiAZ"], pair["MultiAZ"]) == (False, True)
    (single,), (several,) = (a.elasticache.describe_replication_groups()["ReplicationGroups"] for a in (origin, network))
    assert (single["AutomaticFailover"], several["AutomaticFailover"]) == ("disabled", "enabled")
    assert len(several["MemberClusters"]) == 2


def test_redis_wants_tls_and_a_password(account: Account) -> None:
    (redis,) = account.elasticache.describe_replication_groups()["ReplicationGroups"]
    assert redis["TransitEncryptionEnabled"]
    assert redis["AtRestEncryptionEnabled"]
    assert redis["AuthTokenEnabled"]


def alarms(account: Account) -> dict[str, dict[str, Any]]:
    """By their names in the templates, without those that a target-tracking policy makes for itself."""
    found = account.cloudwatch.describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"].split("-")[-2]: alarm for alarm in found if not alarm["AlarmName"].startswith("TargetTracking")}


def test_alarms_watch_what_a_doctor_would_notice(origin: Account, network: Account) -> None:
    assert set(alarms(origin)) == ALARMS_OF_BOTH | {"FrontendDiskFull"}
    balanced = {"BalancerErrors", "PortalErrors", "UiUnhealthy", "ApplicationUnhealthy", "NatBFull", "NatCFull"}
    assert set(alarms(network)) == ALARMS_OF_BOTH | balanced


def test_every_alarm_tells_somebody_or_scales(account: Account) -> None:
    (topic,) = account.sns.list_topics()["Topics"]
    for name in ALARMS_OF_BOTH - {"CasesWait", "NoCaseWaits"}:
        assert alarms(account)[name]["AlarmActions"] == [topic["TopicArn"]]
    (mail,) = account.sns.list_subscriptions()["Subscriptions"]
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", "operations@example.org")


def test_workers_follow_the_age_of_the_oldest_case(account: Account) -> None:
    workers = machine_groups(account)["worker"]["AutoScalingGroupName"]
    found = account.autoscaling.describe_policies(AutoScalingGroupName=workers)["ScalingPolicies"]
    steps = {policy["PolicyARN"]: [step["ScalingAdjustment"] for step in policy["StepAdjustments"]] for policy in found}
    by_alarm = {name: [steps[arn] for arn in alarms(account)[name]["AlarmActions"]] for name in ("CasesWait", "NoCaseWaits")}
    assert by_alarm == {"CasesWait": [[1, 2]], "NoCaseWaits": [[-1]]}
    metric = alarms(account)["CasesWait"]
    assert (metric["Namespace"], metric["MetricName"]) == ("ChestXrayPortal", "OldestWaitingSeconds")


def test_dashboard_is_a_document_that_cloudwatch_can_draw(account: Account) -> None:
    (dashboard,) = account.cloudwatch.list_dashboards()["DashboardEntries"]
    body = account.cloudwatch.get_dashboard(DashboardName=dashboard["DashboardName"])["DashboardBody"]
    assert len(json.loads(body)["widgets"]) == 6


def test_logs_end_and_are_encrypted(account: Account) -> None:
    found = account.logs.describe_log_groups()["logGroups"]
    assert len(found) == 2
    assert {(group["retentionInDays"], "kmsKeyId" in group) for group in found} == {(365, True)}
    (flow,) = account.ec2.describe_flow_logs()["FlowLogs"]
    assert (flow["TrafficType"], flow["ResourceId"]) == ("ALL", our_vpc(account)["VpcId"])
