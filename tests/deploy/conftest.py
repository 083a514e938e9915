"""The stack of each parameter file, made once for all tests that only ask what stands there."""

from collections.abc import Iterator

import pytest

from tests.deploy.account import Account, account_server


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account_server(tmp_path_factory.mktemp("origin")) as account:
        account.create("origin")
        yield account


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account_server(tmp_path_factory.mktemp("network")) as account:
        account.create("network")
        yield account


@pytest.fixture(params=["origin", "network"])
def account(request: pytest.FixtureRequest) -> Account:
    given: Account = request.getfixturevalue(request.param)
    return given
