"""Clients of a server of AWS' protocols, and what a maker of resources hands back."""

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3

REGION = "us-east-1"
Properties = dict[str, Any]
DYNAMIC = re.compile(r"\{\{resolve:secretsmanager:(arn:[^}]*?:secret:[^:}]+)(?::SecretString:(\w+))?\}\}")


@dataclass
class Made:
    """What was made: the value of `Ref`, the attributes of `GetAtt`, and how it is taken away again."""

    ref: str
    delete: Callable[[], Any]
    attributes: dict[str, Any] = field(default_factory=dict)


@functools.cache
def client_of(endpoint: str, service: str) -> Any:
    """One client of a service; making one takes a tenth of a second."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION, **keys)  # type: ignore[call-overload]


class Api:
    """Clients of the server at `endpoint`, each by its service's name."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def __getattr__(self, service: str) -> Any:
        return client_of(self.endpoint, service)

    def resolve(self, value: Any) -> Any:
        """Dynamic references to secrets are replaced; a wrong name or key raises."""
        if isinstance(value, dict):
            return {name: self.resolve(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.resolve(member) for member in value]
        return DYNAMIC.sub(self._secret, value) if isinstance(value, str) else value

    def _secret(self, reference: re.Match[str]) -> str:
        text: str = self.secretsmanager.get_secret_value(SecretId=reference[1])["SecretString"]
        return str(json.loads(text)[reference[2]]) if reference[2] else text
