"""How a resource of a template becomes calls of AWS' API, for the types that moto's CloudFormation lacks or makes by halves."""

import json
import re
from collections.abc import Callable
from typing import Any

from moto.core.common_models import CloudFormationModel

from tests.deploy.aws_api import Api, Made, Properties
from tests.deploy.aws_network import NETWORK_MAKERS


def make_secret(api: Api, name: str, given: Properties) -> Made:
    rules = dict(given["GenerateSecretString"])
    template, key = rules.pop("SecretStringTemplate", None), rules.pop("GenerateStringKey", None)
    value = api.secretsmanager.get_random_password(**rules)["RandomPassword"]
    text = json.dumps({**json.loads(template), key: value}) if template else value
    made = api.secretsmanager.create_secret(
        Name=name, Description=given["Description"], KmsKeyId=given["KmsKeyId"], SecretString=text
    )
    arn = made["ARN"]
    return Made(arn, lambda: api.secretsmanager.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True))


def attach_secret(api: Api, _name: str, given: Properties) -> Made:
    found = api.rds.describe_db_instances(DBInstanceIdentifier=given["TargetId"])["DBInstances"][0]
    login = json.loads(api.secretsmanager.get_secret_value(SecretId=given["SecretId"])["SecretString"])
    whole = {**login, "host": found["Endpoint"]["Address"], "port": found["Endpoint"]["Port"], "dbname": found["DBName"]}
    api.secretsmanager.put_secret_value(SecretId=given["SecretId"], SecretString=json.dumps(whole))
    return Made(given["SecretId"], lambda: None)


def make_bucket(api: Api, name: str, given: Properties) -> Made:
    s3, bucket = api.s3, name.lower()[:63]
    s3.create_bucket(Bucket=bucket)
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=given["PublicAccessBlockConfiguration"])
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=given["OwnershipControls"])
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=given["VersioningConfiguration"])
    encryption = [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            "BucketKeyEnabled": "BucketKeyEnabled" in rule,
        }
        for rule in given["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    ]
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": encryption})
    rules = [_lifecycle_rule(rule) for rule in given["LifecycleConfiguration"]["Rules"]]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    arn = f"arn:aws:s3:::{bucket}"
    return Made(bucket, lambda: s3.delete_bucket(Bucket=bucket), {"Arn": arn})


def _lifecycle_rule(rule: Properties) -> Properties:
    """The template's shape of a rule in the API's."""
    expiration = {}
    if "ExpirationInDays" in rule:
        expiration["Days"] = rule["ExpirationInDays"]
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = rule["ExpiredObjectDeleteMarker"]
    same: Properties = {
        name: rule[name] for name in ("Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload") if name in rule
    }
    return {"ID": rule["Id"], "Filter": {"Prefix": ""}, **same, **({"Expiration": expiration} if expiration else {})}


def make_bucket_policy(api: Api, name: str, given: Properties) -> Made:
    api.s3.put_bucket_policy(Bucket=given["Bucket"], Policy=json.dumps(given["PolicyDocument"]))
    return Made(name, lambda: api.s3.delete_bucket_policy(Bucket=given["Bucket"]))


def make_role(api: Api, name: str, given: Properties) -> Made:
    iam = api.iam
    made = iam.create_role(RoleName=name[:64], AssumeRolePolicyDocument=json.dumps(given["AssumeRolePolicyDocument"]))["Role"]
    inline, managed = given.get("Policies", []), given.get("ManagedPolicyArns", [])
    for policy in inline:
        document = json.dumps(policy["PolicyDocument"])
        iam.put_role_policy(RoleName=made["RoleName"], PolicyName=policy["PolicyName"], PolicyDocument=document)
    for arn in managed:
        iam.attach_role_policy(RoleName=made["RoleName"], PolicyArn=arn)

    def delete() -> None:  # tried again where a profile still holds the role
        for policy in iam.list_role_policies(RoleName=made["RoleName"])["PolicyNames"]:
            iam.delete_role_policy(RoleName=made["RoleName"], PolicyName=policy)
        for policy in iam.list_attached_role_policies(RoleName=made["RoleName"])["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=made["RoleName"], PolicyArn=policy["PolicyArn"])
        iam.delete_role(RoleName=made["RoleName"])

    return Made(made["RoleName"], delete, {"Arn": made["Arn"]})


def make_profile(api: Api, name: str, given: Properties) -> Made:
    iam, profile, (role,) = api.iam, name[:128], given["Roles"]
    made = iam.create_instance_profile(InstanceProfileName=profile)["InstanceProfile"]
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)

    def delete() -> None:
        iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role)
        iam.delete_instance_profile(InstanceProfileName=profile)

    return Made(profile, delete, {"Arn": made["Arn"]})


def make_log_group(api: Api, name: str, given: Properties) -> Made:
    group = given.get("LogGroupName", name)
    api.logs.create_log_group(logGroupName=group, kmsKeyId=given["KmsKeyId"])
    api.logs.put_retention_policy(logGroupName=group, retentionInDays=int(given["RetentionInDays"]))
    arn = api.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["arn"]
    return Made(group, lambda: api.logs.delete_log_group(logGroupName=group), {"Arn": arn})


def make_balancer(api: Api, name: str, given: Properties) -> Made:
    elb, attributes = api.elbv2, given.pop("LoadBalancerAttributes")
    made = elb.create_load_balancer(Name=name, **given)["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes)
    full_name = arn.partition("loadbalancer/")[2]
    return Made(
        arn,
        lambda: elb.delete_load_balancer(LoadBalancerArn=arn),
        {"DNSName": made["DNSName"], "LoadBalancerFullName": full_name},
    )


def make_target_group(api: Api, name: str, given: Properties) -> Made:
    elb, attributes = api.elbv2, given.pop("TargetGroupAttributes")
    arn = elb.create_target_group(Name=name, **given)["TargetGroups"][0]["TargetGroupArn"]
    elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes)
    full_name = arn.rpartition(":")[2]
    return Made(arn, lambda: elb.delete_target_group(TargetGroupArn=arn), {"TargetGroupFullName": full_name})


def make_listener(api: Api, _name: str, given: Properties) -> Made:
    arn = api.elbv2.create_listener(**given)["Listeners"][0]["ListenerArn"]
    return Made(arn, lambda: api.elbv2.delete_listener(ListenerArn=arn))


def make_rule(api: Api, _name: str, given: Properties) -> Made:
    arn = api.elbv2.create_rule(**given)["Rules"][0]["RuleArn"]
    return Made(arn, lambda: api.elbv2.delete_rule(RuleArn=arn))


def make_subnet_group(api: Api, name: str, given: Properties) -> Made:
    group = name.lower()
    api.rds.create_db_subnet_group(DBSubnetGroupName=group, **given)
    return Made(group, lambda: api.rds.delete_db_subnet_group(DBSubnetGroupName=group))


def make_parameter_group(api: Api, name: str, given: Properties) -> Made:
    group = name.lower()
    api.rds.create_db_parameter_group(
        DBParameterGroupName=group, DBParameterGroupFamily=given["Family"], Description=given["Description"]
    )
    parameters = [
        {"ParameterName": key, "ParameterValue": value, "ApplyMethod": "pending-reboot"}
        for key, value in given["Parameters"].items()
    ]
    api.rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=parameters)
    return Made(group, lambda: api.rds.delete_db_parameter_group(DBParameterGroupName=group))


def make_database(api: Api, _name: str, given: Properties) -> Made:
    """Its DeletionPolicy is Snapshot, as the template says."""
    identifier = given["DBInstanceIdentifier"]
    kept_by_template = {"DeleteAutomatedBackups"}  # an argument of the deletion in the API
    renamed = {"VPCSecurityGroups": "VpcSecurityGroupIds", "PerformanceInsightsKMSKeyId": "PerformanceInsightsKMSKeyId"}
    arguments = {renamed.get(key, key): value for key, value in given.items() if key not in kept_by_template}
    for flag in ("MultiAZ", "DeletionProtection"):
        arguments[flag] = arguments[flag] == "true"
    made = api.rds.create_db_instance(**arguments)["DBInstance"]
    snapshot = f"{identifier}-final"
    return Made(
        identifier,
        lambda: api.rds.delete_db_instance(DBInstanceIdentifier=identifier, FinalDBSnapshotIdentifier=snapshot),
        {"Endpoint.Address": made["Endpoint"]["Address"]},
    )


def make_cache_subnets(api: Api, name: str, given: Properties) -> Made:
    group = name.lower()
    api.elasticache.create_cache_subnet_group(
        CacheSubnetGroupName=group, CacheSubnetGroupDescription=given["Description"], SubnetIds=given["SubnetIds"]
    )
    return Made(group, lambda: None)  # moto has no deletion of these


def make_redis(api: Api, name: str, given: Properties) -> Made:
    identifier = re.sub("[^a-z0-9-]", "", name.lower())[:40].rstrip("-")
    replicas = int(given.pop("NumCacheClusters")) - 1  # moto counts nodes by their replicas alone
    api.elasticache.create_replication_group(ReplicationGroupId=identifier, ReplicasPerNodeGroup=replicas, **given)
    address = f"master.{identifier}.use1.cache.amazonaws.com"
    return Made(
        identifier,
        lambda: api.elasticache.delete_replication_group(ReplicationGroupId=identifier),
        {"PrimaryEndPoint.Address": address},
    )


def make_alarm(api: Api, name: str, given: Properties) -> Made:
    api.cloudwatch.put_metric_alarm(AlarmName=name, **given)
    return Made(name, lambda: api.cloudwatch.delete_alarms(AlarmNames=[name]))


def make_scaling_policy(api: Api, name: str, given: Properties) -> Made:
    scaling, group = api.autoscaling, given["AutoScalingGroupName"]
    scaling.put_scaling_policy(PolicyName=name, **given)
    arn = scaling.describe_policies(AutoScalingGroupName=group, PolicyNames=[name])["ScalingPolicies"][0]["PolicyARN"]
    return Made(arn, lambda: scaling.delete_policy(AutoScalingGroupName=group, PolicyName=name))


MAKERS: dict[str, Callable[[Api, str, Properties], Made]] = {
    "AWS::AutoScaling::ScalingPolicy": make_scaling_policy,
    "AWS::CloudWatch::Alarm": make_alarm,
    "AWS::ElastiCache::ReplicationGroup": make_redis,
    "AWS::ElastiCache::SubnetGroup": make_cache_subnets,
    "AWS::ElasticLoadBalancingV2::Listener": make_listener,
    "AWS::ElasticLoadBalancingV2::ListenerRule": make_rule,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": make_balancer,
    "AWS::ElasticLoadBalancingV2::TargetGroup": make_target_group,
    "AWS::IAM::InstanceProfile": make_profile,
    "AWS::IAM::Role": make_role,
    "AWS::Logs::LogGroup": make_log_group,
    "AWS::RDS::DBInstance": make_database,
    "AWS::RDS::DBParameterGroup": make_parameter_group,
    "AWS::RDS::DBSubnetGroup": make_subnet_group,
    "AWS::S3::Bucket": make_bucket,
    "AWS::S3::BucketPolicy": make_bucket_policy,
    "AWS::SecretsManager::Secret": make_secret,
    "AWS::SecretsManager::SecretTargetAttachment": attach_secret,
    **NETWORK_MAKERS,
}


def register(endpoint: str) -> list[type[CloudFormationModel]]:
    """Teach moto's CloudFormation these types, while the answer is kept; it takes a type's last model."""
    api = Api(endpoint)
    return [_model(kind, maker, api) for kind, maker in MAKERS.items()]


def _model(kind: str, maker: Callable[[Api, str, Properties], Made], api: Api) -> type[CloudFormationModel]:
    class Resource(CloudFormationModel):
        def __init__(self, made: Made) -> None:
            self.made = made
            self.physical_resource_id = made.ref

        @staticmethod
        def cloudformation_name_type() -> str:
            return ""

        @staticmethod
        def cloudformation_type() -> str:
            return kind

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            return bool(attr)

        @classmethod
        def create_from_cloudformation_json(
            cls, resource_name: str, cloudformation_json: Properties, *_account_and_region: str, **_ids: Any
        ) -> "Resource":
            return cls(maker(api, resource_name, api.resolve(cloudformation_json["Properties"])))

        def get_cfn_attribute(self, name: str) -> Any:
            return self.made.attributes[name]

        def delete(self, *_account_and_region: str) -> None:
            self.made.delete()

        def is_created(self) -> bool:
            return True

    return Resource
