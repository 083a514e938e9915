"""The portal's main job, as a doctor does it: drop films, read results, look closer, sign."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PHONE, Reader

pytestmark = [pytest.mark.browser, pytest.mark.model]
RESULT = re.compile("Pneumonia (not )?detected|Not read")
PATIENCE = 30_000  # milliseconds; a cold worker on a busy machine


def choose_files(page: Page, *paths: Path) -> None:
    page.set_input_files("input[type=file]", [str(path) for path in paths])


def row_of(page: Page, name: str) -> Locator:
    return page.locator(".file-row").filter(has_text=name)


def test_a_doctor_uploads_reads_looks_and_signs(open_browser: Callable[..., Reader], films: dict[str, Path]) -> None:
    doctor = open_browser().log_in("doctor")
    page = doctor.page
    doctor.go("/cases/upload/")
    page.evaluate("window.sameDocument = true")
    choose_files(page, *films.values())

    for name in ("one.jpg", "two 😀.png", "three.dcm"):
        expect(row_of(page, name).locator(".tag")).to_have_text(RESULT, timeout=PATIENCE)
    expect(page.locator("#live-poll")).to_have_count(0)
    refused = row_of(page, "notes.jpg")
    expect(refused).to_contain_text("Not accepted")
    expect(refused).to_contain_text("UNSUPPORTED_FORMAT")
    assert page.evaluate("window.sameDocument") is True, "the page was loaded again"

    row_of(page, "one.jpg").get_by_role("link", name="Open one.jpg").click()
    case_url = page.url
    expect(page.locator(".verdict-title")).to_have_text(RESULT)
    expect(page.locator("#viewer[data-ready]")).to_be_visible(timeout=PATIENCE)
    look_closer(page)
    sign(page)

    page.locator("details[data-menu] summary").click()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/accounts/login/**")
    others_see_what_they_may(open_browser, case_url)


def look_closer(page: Page) -> None:
    """Overlay on, window changed: by button, slider, key and drag."""
    expect(page.get_by_text("Where the model looked, not where the disease is.")).to_be_hidden()
    page.get_by_role("button", name="Overlay").click()
    expect(page.get_by_text("Where the model looked, not where the disease is.")).to_be_visible()
    overlay = page.locator(".viewer-overlay")
    expect(overlay).to_be_visible()
    page.get_by_label("Overlay opacity").fill("80")
    expect(overlay).to_have_css("opacity", "0.8")
    page.get_by_label("Window width").fill("120")
    expect(page.locator("[data-part=width-value]")).to_have_text("120")
    assert page.locator("#film-filter feFuncR").get_attribute("slope") == f"{255 / 120:.6f}"


def sign(page: Page) -> None:
    detected = page.locator(".verdict-title").inner_text() == "Pneumonia detected"
    page.get_by_label("I agree with the model").check()
    page.get_by_label("Features of pneumonia" if detected else "No features of pneumonia", exact=True).check()
    page.get_by_label("Note").fill("Seen and agreed.")
    expect(page.locator(".review-line")).to_contain_text("PRELIMINARY")
    page.get_by_role("button", name="Sign the review").click()
    expect(page.locator(".review-line")).to_contain_text("Reviewed by")
    expect(page.locator(".history-item")).to_contain_text("Seen and agreed.")


def others_see_what_they_may(open_browser: Callable[..., Reader], case_url: str) -> None:
    colleague = open_browser(viewport=PHONE).log_in("colleague")
    assert colleague.go(case_url) == 200
    expect(colleague.page.locator(".review-line")).to_contain_text("Reviewed by")
    stranger = open_browser().log_in("stranger")
    assert stranger.go(case_url) == 404
    expect(stranger.page.get_by_role("heading", name="Not found")).to_be_visible()


def test_the_result_appears_on_the_case_page_by_itself(doctor_at: Reader, films: dict[str, Path]) -> None:
    answer = doctor_at.portal.upload(films["one.jpg"].read_bytes() + b"\x00", "again.jpg").json()
    doctor_at.go(answer["url"])
    expect(doctor_at.page.locator(".verdict-title")).to_have_text(RESULT, timeout=PATIENCE)
    expect(doctor_at.page.locator("#viewer[data-ready]")).to_be_visible(timeout=PATIENCE)
    expect(doctor_at.page.locator("#case-poller[hx-get]")).to_have_count(0)
    expect(doctor_at.page.get_by_text("The same film was")).to_be_visible()
