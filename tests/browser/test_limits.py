"""A film that was removed, and an upload that has to wait, as a reader meets them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import PHONE, Reader
from tests.portal import Portal

pytestmark = [pytest.mark.browser, pytest.mark.model]
PATIENCE = 30_000  # milliseconds
PURGE = """
from datetime import timedelta
from django.utils import timezone
from diagnostics.models import Case
from diagnostics.services.purging import purge_expired_images
Case.objects.filter(pk="{case}").update(created_at=timezone.now() - timedelta(days=4000))
purge_expired_images(days=3999)
"""


@pytest.fixture
def removed(portal: Portal, film_dicom: bytes) -> str:
    """A case that was analysed, and whose film is gone."""
    case: str = portal.upload(film_dicom).json()["id"]
    portal.wait_for(case)
    portal.manage("shell", "-c", PURGE.format(case=case))
    return case


def test_a_removed_films_page_says_so_and_keeps_the_result(
    open_browser: Callable[..., Reader], portal: Portal, removed: str
) -> None:
    for viewport in ({"width": 1440, "height": 900}, PHONE):
        reader = open_browser(viewport=viewport).log_in("radiologist")
        assert reader.go(f"/cases/{removed}/") == 200
        expect(reader.page.locator("#film")).to_contain_text("The film was removed on")
        expect(reader.page.locator("#result")).to_be_visible()
        expect(reader.page.get_by_role("link", name="Download the original")).to_have_count(0)
        wide = reader.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0
    assert reader.go(f"/cases/{removed}/display/") == 410
    reader.page.get_by_role("link", name="Open the case").click()
    expect(reader.page.locator("#film")).to_contain_text("The film was removed on")


def test_too_many_films_at_once_wait_on_the_page_and_go_on_by_themselves(doctor_at: Reader, films: dict[str, Path]) -> None:
    refused: list[str] = []
    sentence = "You are sending more than 120 films a minute. Nothing was saved; send this one again in 1 second."

    def refuse_first(route: Route) -> None:
        if route.request.method == "POST" and not refused:
            refused.append(sentence)
            body = json.dumps({"code": "RATE_LIMITED", "message": sentence})
            route.fulfill(status=429, body=body, content_type="application/json", headers={"Retry-After": "2"})
        else:
            route.continue_()

    doctor_at.go("/cases/upload/")
    doctor_at.page.route("**/cases/upload/", refuse_first)
    doctor_at.page.set_input_files("input[type=file]", [str(films["one.jpg"])])
    row = doctor_at.page.locator(".file-row").first
    expect(row).to_contain_text("more than 120 films a minute")
    expect(row).to_contain_text("This page does it by itself.")
    expect(row.get_by_role("link", name="Open one.jpg")).to_be_visible(timeout=PATIENCE)
    assert refused


def test_a_days_quota_is_told_and_can_be_tried_again(doctor_at: Reader, films: dict[str, Path]) -> None:
    sentence = "You have sent as much as one user may within 24 hours (2,000 films). Nothing was saved."
    body = json.dumps({"code": "QUOTA_EXCEEDED", "message": sentence})
    doctor_at.go("/cases/upload/")
    doctor_at.page.route(
        "**/cases/upload/",
        lambda route: route.fulfill(status=429, body=body, content_type="application/json", headers={"Retry-After": "3600"}),
    )
    doctor_at.page.set_input_files("input[type=file]", [str(films["one.jpg"])])
    row = doctor_at.page.locator(".file-row").first
    expect(row).to_contain_text(sentence)
    expect(row).to_contain_text("QUOTA_EXCEEDED")
    expect(row.get_by_role("button", name="Try again")).to_be_visible()
