"""The model's page and the way to it, at a desk and on a phone: nothing overflows, and the policy blocks nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESK, PHONE, Reader
from tests.portal import Portal

pytestmark = [pytest.mark.browser, pytest.mark.model]


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_the_navigation_leads_to_what_the_model_is_for(open_browser: Callable[..., Reader], viewport: dict[str, int]) -> None:
    reader = open_browser(viewport=viewport).log_in("doctor")
    reader.page.get_by_role("link", name="Model", exact=True).click()
    expect(reader.page.get_by_role("heading", name="What it is for")).to_be_visible()
    expect(reader.page.get_by_role("heading", name="What it is not for")).to_be_visible()
    assert reader.page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0


def test_a_result_leads_to_the_version_that_made_it(doctor_at: Reader, portal: Portal, films: dict[str, Path]) -> None:
    case = portal.upload(films["one.jpg"].read_bytes(), "model-page.jpg").json()
    found = portal.wait_for(case["id"])
    doctor_at.go(f"/cases/{case['id']}/")
    if found["state"] == "done":
        version = found["prediction"]["model_version"]
        doctor_at.page.locator("#details").get_by_role("link", name=f"Version {version}").click()
        expect(doctor_at.page.get_by_role("heading", name=f"Model {version}")).to_be_visible()
