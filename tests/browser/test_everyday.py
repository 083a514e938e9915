"""What a reader meets every day: filters, themes, the keyboard, a lost connection, an ended session, a phone."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESK, PHONE, Reader
from tests.portal import Portal

pytestmark = [pytest.mark.browser, pytest.mark.model]
PATIENCE = 30_000  # milliseconds


@pytest.fixture(scope="module")
def case_url(portal: Portal, films: dict[str, Path]) -> str:
    answer = portal.upload(films["three.dcm"].read_bytes(), "everyday.dcm").json()
    portal.wait_for(answer["id"])
    return f"/cases/{answer['id']}/"


def test_filters_swap_the_list_and_keep_the_address(doctor_at: Reader, case_url: str) -> None:
    page = doctor_at.page
    doctor_at.go("/cases/")
    page.evaluate("window.sameDocument = true")
    page.get_by_label("Search").press_sequentially("everyday")
    page.wait_for_url(re.compile(r"[?&]q=everyday"))
    expect(page.locator(".case-row")).not_to_have_count(0)
    for name in page.locator(".row-link").all_inner_texts():
        assert "everyday" in name
    page.get_by_label("Search").fill("no such film")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    assert page.evaluate("window.sameDocument") is True
    page.reload()
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    expect(page.get_by_label("Search")).to_have_value("no such film")


def test_going_back_shows_the_list_as_it_was(doctor_at: Reader, case_url: str) -> None:
    page = doctor_at.page
    doctor_at.go("/cases/?q=everyday")
    page.locator(".row-link").first.click()
    page.wait_for_url(re.compile(r"/cases/[0-9a-f-]{36}/$"))
    page.go_back()
    expect(page.get_by_label("Search")).to_have_value("everyday")
    kept = page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert "everyday.dcm" not in kept, "pages with patients' data are not kept in the browser"


def test_a_waiting_row_turns_into_its_result(doctor_at: Reader, films: dict[str, Path]) -> None:
    page = doctor_at.page
    doctor_at.go("/cases/")
    page.evaluate("window.sameDocument = true")
    answer = doctor_at.portal.upload(films["one.jpg"].read_bytes() + b"\x01", "turning.jpg").json()
    doctor_at.go("/cases/?q=turning")
    result = page.locator(f"#case-{answer['id']} .tag")
    expect(result).to_have_text(re.compile("Pneumonia|Not read"), timeout=PATIENCE)
    expect(page.locator(".live")).to_have_count(0)


def test_the_theme_is_switched_and_remembered(doctor_at: Reader) -> None:
    page = doctor_at.page
    doctor_at.go("/cases/")
    theme = page.locator("html")
    expect(theme).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="Switch between dark and light").click()
    expect(theme).to_have_attribute("data-bs-theme", "light")
    page.reload()
    expect(theme).to_have_attribute("data-bs-theme", "light")


def test_the_whole_way_to_a_film_goes_by_keyboard(doctor_at: Reader, case_url: str) -> None:
    page = doctor_at.page
    doctor_at.go("/cases/?q=everyday")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(25):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('row-link')"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/cases/[0-9a-f-]{36}/$"))
    expect(page.locator("#viewer[data-ready]")).to_be_visible(timeout=PATIENCE)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('openseadragon-canvas')"):
            break
    page.keyboard.press("i")
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")


def review(page: Page, note: str) -> None:
    again = page.locator(".review-again summary")
    if again.count():
        again.click()
    page.get_by_label("Uncertain").check()
    page.get_by_label("I disagree with the model").check()
    page.get_by_label("Note").fill(note)
    page.get_by_role("button", name="Sign the review").click()


def test_a_note_survives_a_lost_connection(doctor_at: Reader, case_url: str) -> None:
    page = doctor_at.page
    doctor_at.go(case_url)
    page.route("**/review/", lambda route: route.abort())
    review(page, "Typed on a bad line.")
    expect(page.get_by_text("could not be sent and is not saved")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("Typed on a bad line.")
    page.unroute("**/review/")
    page.get_by_role("button", name="Sign the review").click()
    expect(page.locator(".history-item").first).to_contain_text("Typed on a bad line.")


def test_a_note_survives_a_complaint(doctor_at: Reader, case_url: str) -> None:
    page = doctor_at.page
    doctor_at.go(case_url)
    again = page.locator(".review-again summary")
    if again.count():
        again.click()
    detected = page.locator(".verdict-title").inner_text() == "Pneumonia detected"
    page.get_by_label("I disagree with the model").check()
    page.get_by_label("Features of pneumonia" if detected else "No features of pneumonia", exact=True).check()
    page.get_by_label("Note").fill("A slip of the hand.")
    page.get_by_role("button", name="Sign the review").click()
    expect(page.get_by_text("contradict each other")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("A slip of the hand.")


def test_an_ended_session_is_said_and_the_note_stays(doctor_at: Reader, case_url: str) -> None:
    page = doctor_at.page
    doctor_at.go(case_url)
    page.context.clear_cookies()
    review(page, "Typed after the session ended.")
    expect(page.locator("#logged-out, .review-problem").locator("visible=true").first).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("Typed after the session ended.")

    other_tab = Reader(page.context.new_page(), doctor_at.portal).log_in("doctor")
    assert other_tab.go(case_url) == 200
    button = page.get_by_role("button", name="Sign the review")
    with page.expect_response(f"**{case_url}", timeout=PATIENCE):  # the old token is refused and a new one fetched
        button.click()
    button.click()
    expect(page.locator(".history-item").first).to_contain_text("Typed after the session ended.")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_no_page_is_wider_than_its_window(
    open_browser: Callable[..., Reader], case_url: str, viewport: dict[str, int], theme: str
) -> None:
    reader = open_browser(viewport=viewport).log_in("doctor")
    reader.page.context.add_cookies([{"name": "theme", "value": theme, "url": reader.portal.url}])
    for path in ("/cases/", "/cases/upload/", case_url, "/cases/no-such-page/", "/accounts/profile/"):
        reader.go(path)
        assert reader.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_an_operator_is_told_in_words_that_cases_are_not_for_the_role(open_browser: Callable[..., Reader]) -> None:
    reader = open_browser().log_in("operator")
    expect(reader.page.get_by_role("heading", name="Not for your role")).to_be_visible()
    expect(reader.page.get_by_role("link", name="Upload")).to_have_count(0)
