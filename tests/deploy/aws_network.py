"""The network's resources by EC2's API: moto's CloudFormation makes most of them and deletes few."""

import json
from collections.abc import Callable
from uuid import uuid4

from tests.deploy.aws_api import Api, Made, Properties


def make_vpc(api: Api, _name: str, given: Properties) -> Made:
    ec2 = api.ec2
    vpc = ec2.create_vpc(CidrBlock=given["CidrBlock"])["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=given["Tags"])
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": given["EnableDnsHostnames"]})
    return Made(vpc, lambda: ec2.delete_vpc(VpcId=vpc))


def make_internet_gateway(api: Api, _name: str, _given: Properties) -> Made:
    made = api.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    return Made(made, lambda: api.ec2.delete_internet_gateway(InternetGatewayId=made))


def attach_internet_gateway(api: Api, name: str, given: Properties) -> Made:
    api.ec2.attach_internet_gateway(**given)
    return Made(name, lambda: api.ec2.detach_internet_gateway(**given))


def make_address(api: Api, _name: str, given: Properties) -> Made:
    made = api.ec2.allocate_address(**given)
    allocation = made["AllocationId"]
    return Made(made["PublicIp"], lambda: api.ec2.release_address(AllocationId=allocation), {"AllocationId": allocation})


def make_nat_gateway(api: Api, _name: str, given: Properties) -> Made:
    made = api.ec2.create_nat_gateway(**given)["NatGateway"]["NatGatewayId"]
    return Made(made, lambda: api.ec2.delete_nat_gateway(NatGatewayId=made))


def make_route_table(api: Api, _name: str, given: Properties) -> Made:
    made = api.ec2.create_route_table(VpcId=given["VpcId"])["RouteTable"]["RouteTableId"]
    api.ec2.create_tags(Resources=[made], Tags=given["Tags"])
    return Made(made, lambda: api.ec2.delete_route_table(RouteTableId=made))


def make_association(api: Api, _name: str, given: Properties) -> Made:
    made = api.ec2.associate_route_table(**given)["AssociationId"]
    return Made(made, lambda: api.ec2.disassociate_route_table(AssociationId=made))


def make_endpoint(api: Api, _name: str, given: Properties) -> Made:
    policy = json.dumps(given.pop("PolicyDocument"))
    made = api.ec2.create_vpc_endpoint(**given, PolicyDocument=policy)["VpcEndpoint"]["VpcEndpointId"]
    return Made(made, lambda: api.ec2.delete_vpc_endpoints(VpcEndpointIds=[made]))


def make_flow_log(api: Api, _name: str, given: Properties) -> Made:
    (made,) = api.ec2.create_flow_logs(ResourceIds=[given.pop("ResourceId")], **given)["FlowLogIds"]
    return Made(made, lambda: api.ec2.delete_flow_logs(FlowLogIds=[made]))


def make_zone(api: Api, _name: str, given: Properties) -> Made:
    (vpc,) = given["VPCs"]
    made = api.route53.create_hosted_zone(Name=given["Name"], VPC=vpc, CallerReference=str(uuid4()))["HostedZone"]["Id"]
    return Made(made.removeprefix("/hostedzone/"), lambda: api.route53.delete_hosted_zone(Id=made))


def make_security_group(api: Api, name: str, given: Properties) -> Made:
    ec2 = api.ec2
    made = ec2.create_security_group(GroupName=name, Description=given["GroupDescription"], VpcId=given["VpcId"])
    group = made["GroupId"]
    ec2.create_tags(Resources=[group], Tags=given["Tags"])
    everything = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    ec2.authorize_security_group_egress(
        GroupId=group, IpPermissions=[_permission(rule) for rule in given["SecurityGroupEgress"]]
    )
    return Made(group, lambda: ec2.delete_security_group(GroupId=group), {"GroupId": group})


def _permission(rule: Properties) -> Properties:
    ports: Properties = {name: rule[name] for name in ("FromPort", "ToPort") if name in rule}
    told = {"Description": rule["Description"]}
    if "CidrIp" in rule:
        return {"IpProtocol": rule["IpProtocol"], **ports, "IpRanges": [{"CidrIp": rule["CidrIp"], **told}]}
    peer = {"GroupId": rule["DestinationSecurityGroupId"], **told}
    return {"IpProtocol": rule["IpProtocol"], **ports, "UserIdGroupPairs": [peer]}


NETWORK_MAKERS: dict[str, Callable[[Api, str, Properties], Made]] = {
    "AWS::EC2::EIP": make_address,
    "AWS::EC2::FlowLog": make_flow_log,
    "AWS::EC2::InternetGateway": make_internet_gateway,
    "AWS::EC2::NatGateway": make_nat_gateway,
    "AWS::EC2::RouteTable": make_route_table,
    "AWS::EC2::SecurityGroup": make_security_group,
    "AWS::EC2::SubnetRouteTableAssociation": make_association,
    "AWS::EC2::VPC": make_vpc,
    "AWS::EC2::VPCEndpoint": make_endpoint,
    "AWS::EC2::VPCGatewayAttachment": attach_internet_gateway,
    "AWS::Route53::HostedZone": make_zone,
}
