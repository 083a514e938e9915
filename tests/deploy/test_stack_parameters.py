"""A stack parameter out of range is refused by the template, in a sentence that names it."""

import re

import pytest

from tests.deploy import templates

CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize("name", ["origin", "network"])
def test_both_parameter_files_are_accepted(name: str) -> None:
    assert templates.refusals(templates.parameters(name)) == []


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("Hostname", "portal"),
        ("Hostname", "Portal.example.org; reboot"),
        ("FrontEnd", "apache"),
        ("AlarmEmail", "nobody"),
        ("ReleaseKey", "portal.zip"),
        ("ReleaseKey", "portal $(reboot).tar.gz"),
        ("ReleaseSha256", "0" * 63),
        ("VpcPrefix", "10.256"),
        ("VpcPrefix", "192.168"),
        ("Zones", "4"),
        ("ClientCidr", "10.0.0.0/33"),
        ("UiType", "p5.48xlarge"),
        ("WorkerType", "t3.micro"),
        ("UiMin", "0"),
        ("UiMax", "21"),
        ("WorkerMin", "0"),
        ("WorkerMax", "many"),
        ("DatabaseName", "Portal"),
        ("DatabaseType", "db.t2.micro"),
        ("DatabaseVersion", "12.4"),
        ("DatabaseStorage", "19"),
        ("BackupDays", "0"),
        ("BackupDays", "36"),
        ("RedisType", "cache.m3.medium"),
        ("RedisNodes", "4"),
        ("DeletionProtection", "maybe"),
        ("NoncurrentDays", "1"),
        ("LogDays", "1"),
        ("TlsSecretArn", "secret"),
        ("CertificateArn", "arn:aws:iam::123456789012:server-certificate/x"),
    ],
)
def test_a_value_out_of_range_is_refused(parameter: str, value: str) -> None:
    assert parameter in templates.refusals(templates.parameters("network", **{parameter: value}))


def test_a_load_balancer_needs_two_zones() -> None:
    assert templates.refusals(templates.parameters("network", Zones="1")) == ["BalancerNeedsZonesAndCertificate"]


def test_a_load_balancer_needs_a_certificate() -> None:
    assert templates.refusals(templates.parameters("network", CertificateArn="")) == ["BalancerNeedsZonesAndCertificate"]


def test_nginx_needs_a_certificate() -> None:
    assert templates.refusals(templates.parameters("origin", TlsSecretArn="")) == ["NginxNeedsCertificate"]


def test_nginx_stands_before_one_machine_of_a_kind() -> None:
    assert templates.refusals(templates.parameters("origin", UiMax="2")) == ["NginxNeedsCertificate"]


def test_a_parameter_that_the_template_does_not_know_is_refused() -> None:
    assert templates.refusals(templates.parameters("origin", KeyPair="mine")) == ["KeyPair is no parameter"]


def test_every_limit_says_in_a_sentence_what_it_takes() -> None:
    for name, slot in templates.load("portal.yaml")["Parameters"].items():
        if "AllowedPattern" in slot or "MinValue" in slot:
            assert slot["ConstraintDescription"].startswith(name), name


def test_every_parameter_reaches_a_resource_or_a_rule() -> None:
    root = templates.load("portal.yaml")
    told = str(root["Resources"]) + str(root["Rules"]) + str(root["Conditions"])
    unused = [name for name in root["Parameters"] if not re.search(rf"\b{name}\b", told)]
    assert unused == []
