"""Every bad upload of the corpus, and some mutants, through a running portal with the real model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpus.campaign import NO_QUOTA, SECONDS_EACH, Campaign, run_campaign
from tests.integration.test_isolation import WEB_LIMIT, WORKER_LIMIT
from tests.portal import running_portal

MUTANTS, SEED = 60, 7
DECODER_LIMIT = 1500  # MB: their address space

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    folder: Path = tmp_path_factory.mktemp("corpus")
    with running_portal(folder, NO_QUOTA) as portal:
        yield run_campaign(portal, mutants=MUTANTS, seed=SEED)


def test_every_bad_upload_ends_in_the_coded_answer_that_it_should(campaign: Campaign) -> None:
    assert campaign.unexpected == []
    assert campaign.files > 400


def test_the_worker_that_read_them_all_is_the_one_that_began(campaign: Campaign) -> None:
    assert campaign.worker_lived


def test_no_answer_takes_longer_than_it_may(campaign: Campaign) -> None:
    assert campaign.slowest < SECONDS_EACH


def test_memory_stays_bounded(campaign: Campaign) -> None:
    assert campaign.memory_mb["web"] < WEB_LIMIT
    assert campaign.memory_mb["worker"] < WORKER_LIMIT
    assert 0 < campaign.memory_mb["decoder"] < DECODER_LIMIT
