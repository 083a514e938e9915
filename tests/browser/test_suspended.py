"""At night, while no version is in service: the film comes to the open page all the same, and its result when there is one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESK, PHONE, Reader
from tests.browser.test_viewer import settle
from tests.portal import Portal, running_portal

pytestmark = [pytest.mark.browser, pytest.mark.model]
PATIENCE = 60_000  # milliseconds
LIFECYCLE = "from mlmodel import api; from mlmodel.services.lifecycle import Act, activate, suspend; "
SUSPEND = "suspend(version=api.active_version(), act=Act(None, reason='Stop rule: drift.'))"
PUT_BACK = (
    "from accounts.models import User; by = User.objects.get(role='operator'); "
    "activate(version=api.versions_in_service().latest, act=Act(by, reason='mended', forced=True))"
)


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """One of its own: what is suspended here is suspended for every test that shares it."""
    with running_portal(tmp_path_factory.mktemp("suspended"), {"MODEL_PROMOTION_SECOND_PERSON": "false"}) as running:
        yield running


def test_the_film_comes_without_a_reload_and_stays_as_it_was_looked_at_when_the_result_comes(
    open_browser: Callable[..., Reader], portal: Portal, films: dict[str, Path]
) -> None:
    portal.manage("shell", "-c", LIFECYCLE + SUSPEND)
    case = portal.upload(films["two 😀.png"].read_bytes(), "night.png").json()
    desk, phone = (open_browser(viewport=viewport).log_in("doctor") for viewport in (DESK, PHONE))
    for reader in (desk, phone):
        reader.go(f"/cases/{case['id']}/")
        expect(reader.page.locator("#viewer[data-ready]")).to_be_visible(timeout=PATIENCE)
        expect(reader.page.locator("#result")).to_contain_text("Analysis is suspended since")
        expect(reader.page.locator("[data-do=overlay]")).to_have_count(0)
        assert reader.page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    assert portal.case(case["id"])["state"] == "queued"

    page = desk.page
    page.get_by_label("Window width").fill("100")
    page.locator("[data-do=zoom-in]").click()
    settle(page)
    # Centre and zoom: how much around them is seen follows the panel's size, which the result may change
    look = "(() => { const v = portal.viewer.film.viewport; return [v.getCenter().x, v.getCenter().y]; })()"
    closer = "portal.viewer.film.viewport.getZoom() > 1.05 * portal.viewer.film.viewport.getHomeZoom()"
    page.locator(".openseadragon-canvas").first.press("ArrowRight")
    settle(page)
    before = page.evaluate(look)
    assert page.evaluate(closer)
    portal.manage("shell", "-c", LIFECYCLE + PUT_BACK)
    expect(page.locator("#result")).not_to_contain_text("suspended", timeout=PATIENCE)
    found = portal.wait_for(case["id"])
    assert found["state"] == "done"
    expect(page.locator("#viewer[data-ready] [data-do=overlay]")).to_be_visible(timeout=PATIENCE)
    settle(page)
    assert page.evaluate(look) == pytest.approx(before, abs=0.01)
    assert page.evaluate(closer)
    expect(page.get_by_label("Window width")).to_have_value("100")
