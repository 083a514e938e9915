"""Subnets, routes and who may talk to whom, asked of EC2's API after both stacks were made."""

import re
from typing import Any

import pytest

from tests.deploy.account import ANYWHERE, Account, groups, of_our_vpc, our_vpc, subnets
from tests.deploy.aws_api import REGION

pytestmark = pytest.mark.slow


def allowed(account: Account, direction: str) -> set[tuple[str, str, int, int]]:
    """Every rule as (group, peer, from, to), groups by their names."""
    names = {group["GroupId"]: name for name, group in groups(account).items()}
    rules = set()
    for name, group in groups(account).items():
        for rule in group[direction]:
            peers = [names[pair["GroupId"]] for pair in rule["UserIdGroupPairs"]] + [net["CidrIp"] for net in rule["IpRanges"]]
            rules |= {(name, peer, rule.get("FromPort", -1), rule.get("ToPort", -1)) for peer in peers}
    return rules


def default_route(account: Account, subnet: str) -> dict[str, Any] | None:
    subnet_id = subnets(account)[subnet]["SubnetId"]
    tables = of_our_vpc(account, "describe_route_tables", "RouteTables")
    table = next(t for t in tables if any(link.get("SubnetId") == subnet_id for link in t["Associations"]))
    return next((route for route in table["Routes"] if route.get("DestinationCidrBlock") == ANYWHERE), None)


def test_origin_stands_in_one_zone_and_its_database_could_move(origin: Account) -> None:
    cidrs = {name: subnet["CidrBlock"] for name, subnet in subnets(origin).items()}
    assert our_vpc(origin)["CidrBlock"] == "10.0.0.0/16"
    assert cidrs == {"public-a": "10.0.1.0/24", "private-a": "10.0.2.0/24", "data-a": "10.0.11.0/24", "data-b": "10.0.12.0/24"}


def test_network_stands_in_three_zones(network: Account) -> None:
    found = subnets(network)
    assert {name: found[name]["CidrBlock"] for name in found if name.startswith("public")} == {
        "public-a": "10.0.1.0/24",
        "public-b": "10.0.3.0/24",
        "public-c": "10.0.5.0/24",
    }
    assert {name: found[name]["CidrBlock"] for name in found if name.startswith("private")} == {
        "private-a": "10.0.2.0/24",
        "private-b": "10.0.4.0/24",
        "private-c": "10.0.6.0/24",
    }
    assert len({found[f"private-{letter}"]["AvailabilityZone"] for letter in "abc"}) == 3


def test_public_subnets_lead_to_the_internet_and_data_subnets_nowhere(account: Account) -> None:
    for name in subnets(account):
        route = default_route(account, name)
        if name.startswith("public"):
            assert route is not None
            assert route["GatewayId"].startswith("igw-")
        if name.startswith("data"):
            assert route is None


def test_every_private_subnet_leaves_through_the_nat_gateway_of_its_own_zone(account: Account) -> None:
    found, gateways = subnets(account), account.ec2.describe_nat_gateways()["NatGateways"]
    zone_of = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in found.values()}
    place = {gateway["NatGatewayId"]: zone_of[gateway["SubnetId"]] for gateway in gateways}
    private = [name for name in found if name.startswith("private")]
    for name in private:
        route = default_route(account, name)
        assert route is not None
        assert place[route["NatGatewayId"]] == found[name]["AvailabilityZone"]
    assert len(gateways) == len(private)


def test_films_reach_s3_without_leaving_aws(account: Account) -> None:
    (endpoint,) = account.ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert endpoint["ServiceName"] == f"com.amazonaws.{REGION}.s3"
    assert endpoint["VpcEndpointType"] == "Gateway"
    private = [name for name in subnets(account) if name.startswith("private")]
    assert len(endpoint["RouteTableIds"]) == len(private) + 1


def test_each_group_is_reached_by_whom_it_serves_and_nobody_else(account: Account) -> None:
    assert allowed(account, "IpPermissions") == {
        ("frontend", ANYWHERE, 80, 80),
        ("frontend", ANYWHERE, 443, 443),
        ("web", "frontend", 443, 443),
        ("web", "monitoring", 443, 443),
        ("web", "monitoring", 9100, 9119),
        ("worker", "monitoring", 9100, 9119),
        ("database", "web", 5432, 5432),
        ("database", "worker", 5432, 5432),
        ("database", "monitoring", 5432, 5432),
        ("redis", "web", 6379, 6379),
        ("redis", "worker", 6379, 6379),
        ("redis", "monitoring", 6379, 6379),
    }


def test_no_group_opens_the_port_of_ssh_in_either_direction(account: Account) -> None:
    for direction in ("IpPermissions", "IpPermissionsEgress"):
        assert not [
            rule for rule in allowed(account, direction) if rule[2] <= 22 <= rule[3] or (rule[2] == -1 and "/0" in rule[1])
        ]


def test_every_group_and_rule_is_described_in_letters_that_ec2_takes(account: Account) -> None:
    """moto takes any; EC2 refuses an apostrophe."""
    told = [group["Description"] for group in groups(account).values()]
    for group in groups(account).values():
        for rule in group["IpPermissions"] + group["IpPermissionsEgress"]:
            told += [peer.get("Description", "") for peer in rule["IpRanges"] + rule["UserIdGroupPairs"]]
    assert [text for text in told if not re.fullmatch(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*", text)] == []


def test_stores_start_no_connection(account: Account) -> None:
    out = {rule for rule in allowed(account, "IpPermissionsEgress") if rule[0] in {"database", "redis"}}
    assert out == {("database", "127.0.0.1/32", -1, -1), ("redis", "127.0.0.1/32", -1, -1)}


def test_network_answers_https_and_sends_http_there(network: Account) -> None:
    elb = network.elbv2
    (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
    listeners = {one["Port"]: one for one in elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]}
    assert set(listeners) == {80, 443}
    assert listeners[80]["DefaultActions"][0]["RedirectConfig"]["Protocol"] == "HTTPS"
    assert "TLS13-1-2" in listeners[443]["SslPolicy"]
    rules = elb.describe_rules(ListenerArn=listeners[443]["ListenerArn"])["Rules"]
    paths = [value for rule in rules for condition in rule["Conditions"] for value in condition["PathPatternConfig"]["Values"]]
    assert paths == ["/api/*", "/cases/upload/*"]
    assert {group["Protocol"] for group in elb.describe_target_groups()["TargetGroups"]} == {"HTTPS"}
