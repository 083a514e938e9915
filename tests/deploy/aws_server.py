"""A server of AWS' protocols whose CloudFormation makes every resource of our templates.

moto's own CloudFormation knows no Secrets Manager, ElastiCache, alarm, scaling policy or bucket policy, and drops properties
of others (a group's ways out, a bucket's versioning, a database's protection). `aws_resources` makes those through the same
server's API, as CloudFormation does: botocore then refuses a property that the service does not have.
"""

import sys
import traceback
from typing import Any

from flask import got_request_exception
from moto.cloudformation import parsing
from moto.cloudformation.models import Stack
from moto.server import main

from tests.deploy.aws_resources import register

_clean_json = parsing.clean_json


def _clean_without_no_value(value: Any, resources: Any) -> Any:
    """AWS::NoValue takes an entry out of a list; moto leaves a hole."""
    cleaned = _clean_json(value, resources)
    return [entry for entry in cleaned if entry is not None] if isinstance(value, list) else cleaned


def _output(stack: Stack, attribute: str) -> str:
    """`Outputs.Name` of a nested stack, which moto does not hand up."""
    output = stack.output_map[attribute.removeprefix("Outputs.")]
    if output is None:
        raise ValueError(f"{stack.name} has no {attribute}")
    return str(output.value)


def _delete_dependents_first(resources: parsing.ResourceMap) -> None:
    """As AWS does, and ending with the first refusal; moto tries in any order and forgets what was refused."""
    made = resources._parsed_resources
    for name in reversed([name for name in made if name in resources._resource_json_map]):
        resources._delete_resource(made[name], resources._resource_json_map[name])
        made.pop(name)


def _debian(_resources: Any, name: str, _value_type: str) -> str:
    """Debian's public parameters, which moto's Systems Manager lacks; the image is one that moto has."""
    if not name.startswith("/aws/service/debian/release/12/"):
        raise ValueError(f"No image is known by {name}")
    return "ami-12c6146b"


def _tell(_app: Any, **_exception: Any) -> None:
    """moto answers 500 and keeps the reason to itself."""
    traceback.print_exc()


if __name__ == "__main__":
    got_request_exception.connect(_tell)
    port = sys.argv[1]
    for owner, name, replacement in (
        (parsing, "clean_json", _clean_without_no_value),
        (parsing.ResourceMap, "delete", _delete_dependents_first),
        (parsing.ResourceMap, "parse_ssm_parameter", _debian),
        (Stack, "get_cfn_attribute", _output),
    ):
        setattr(owner, name, replacement)
    models = register(f"http://127.0.0.1:{port}")
    main(["-H", "127.0.0.1", "-p", port])
