"""Our templates as a user deploys them: packaged, with a parameter file, and refused where a parameter is out of range."""

import json
import re
from pathlib import Path
from typing import Any

from cfnlint.decode import decode

ROOM = Path(__file__).resolve().parents[2] / "deploy" / "cloudformation"
Template = dict[str, Any]


def load(name: str) -> Template:
    """The template with intrinsic functions in their long form."""
    template, problems = decode(str(ROOM / name))
    if problems:
        raise ValueError(f"{name}: {problems}")
    plain: Template = json.loads(json.dumps(template))
    return plain


def package(s3: Any, bucket: str) -> str:
    """What `aws cloudformation package` does: upload the nested templates, and the root with their addresses."""
    root = load("portal.yaml")
    for resource in root["Resources"].values():
        name = resource["Properties"].get("TemplateURL")
        if name is not None:
            s3.put_object(Bucket=bucket, Key=name, Body=json.dumps(load(name)).encode())
            resource["Properties"]["TemplateURL"] = f"https://{bucket}.s3.amazonaws.com/{name}"
    return json.dumps(root)


def parameters(name: str, **changes: str) -> dict[str, str]:
    """A parameter file's values, some of them changed."""
    given: dict[str, str] = json.loads((ROOM / f"{name}.json").read_text())["Parameters"]
    return given | changes


def refusals(given: dict[str, str]) -> list[str]:
    """The names of parameters and rules for which CloudFormation would refuse the stack."""
    root = load("portal.yaml")
    slots, values = root["Parameters"], {}
    refused = [f"{name} is no parameter" for name in given if name not in slots]
    for name, slot in slots.items():
        value = given.get(name, slot.get("Default"))
        values[name] = value
        if value is None or not _fits(str(value), slot):
            refused.append(name)
    for name, rule in root["Rules"].items():
        if _holds(rule["RuleCondition"], values):
            refused += [name for assertion in rule["Assertions"] if not _holds(assertion["Assert"], values)]
    return refused


def _fits(value: str, slot: dict[str, Any]) -> bool:
    if "AllowedValues" in slot and value not in map(str, slot["AllowedValues"]):
        return False
    if "AllowedPattern" in slot and not re.search(slot["AllowedPattern"], value):
        return False
    if slot["Type"] != "Number":
        return True
    return value.isdecimal() and slot.get("MinValue", 0) <= int(value) <= slot.get("MaxValue", 10**9)


def _holds(condition: dict[str, Any], values: dict[str, Any]) -> bool:
    (function, arguments), *_ = condition.items()
    if function == "Fn::Not":
        return not _holds(arguments[0], values)
    if function == "Fn::Equals":
        left, right = (values[side["Ref"]] if isinstance(side, dict) else side for side in arguments)
        return str(left) == str(right)
    raise ValueError(f"{function} is not used in our rules")
