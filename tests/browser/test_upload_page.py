"""The upload page when things go wrong, and without scripts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Locator, Page, Route, expect

from tests.browser.conftest import Reader

pytestmark = [pytest.mark.browser, pytest.mark.model]
PATIENCE = 30_000  # milliseconds


@pytest.fixture
def page(doctor_at: Reader) -> Page:
    doctor_at.go("/cases/upload/")
    return doctor_at.page


def choose(page: Page, *paths: Path) -> None:
    page.set_input_files("input[type=file]", [str(path) for path in paths])


def row(page: Page) -> Locator:
    return page.locator(".file-row").first


def field_of(route: Route, name: str) -> str:
    """A text field of the multipart body."""
    body = (route.request.post_data_buffer or b"").decode("latin-1")
    return body.split(f'name="{name}"\r\n\r\n', 1)[1].split("\r\n", 1)[0]


def test_a_broken_connection_can_be_tried_again_with_the_same_key(page: Page, films: dict[str, Path]) -> None:
    keys: list[str] = []

    def break_first(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(field_of(route, "idempotency_key"))
        if len(keys) == 1:
            route.abort()
        else:
            route.continue_()

    page.route("**/cases/upload/", break_first)
    choose(page, films["one.jpg"])
    expect(row(page)).to_contain_text("The connection broke")
    row(page).get_by_role("button", name="Try again").click()
    expect(row(page).get_by_role("link", name="Open one.jpg")).to_be_visible(timeout=PATIENCE)
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert keys[0]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, '{"code": "STORAGE_UNAVAILABLE", "message": "Nothing was saved; try again."}', "Nothing was saved"),
        (500, "<html>broken</html>", "Nothing was saved"),
        (413, "<html>too large</html>", "larger than this portal accepts"),
        (403, "<html>forbidden</html>", "The page had expired"),
        (200, "<html>log in</html>", "You have been logged out"),
    ],
)
def test_a_portal_in_trouble_is_put_into_plain_words(
    page: Page, films: dict[str, Path], status: int, body: str, words: str
) -> None:
    kind = "application/json" if body.startswith("{") else "text/html"
    page.route("**/cases/upload/", lambda route: route.fulfill(status=status, body=body, content_type=kind))
    choose(page, films["one.jpg"])
    expect(row(page)).to_contain_text(words)
    expect(row(page).get_by_role("button", name="Try again")).to_be_visible()


def test_a_file_over_the_limit_is_not_even_sent(page: Page, tmp_path: Path) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.evaluate("document.getElementById('upload-form').dataset.maxBytes = '1000'")
    large = tmp_path / "large.dcm"
    large.write_bytes(bytes(2000))
    choose(page, large)
    expect(row(page)).to_contain_text("TOO_LARGE")
    assert sent == []


def test_patient_details_are_asked_for_before_anything_is_sent(page: Page, films: dict[str, Path]) -> None:
    page.get_by_label("Patient's name").fill("Okafor, Chidi")
    choose(page, films["one.jpg"])
    expect(page.locator(".file-row")).to_have_count(0)
    page.get_by_label("Record number").fill("MRN-UP")
    expect(page.get_by_text("Filed under MRN-UP, Okafor, Chidi")).to_be_visible()
    choose(page, films["one.jpg"])
    expect(row(page)).to_contain_text("patient MRN-UP")
    page.get_by_role("button", name="Clear these fields").click()
    expect(page.get_by_text("Filed under")).to_be_hidden()


def test_at_most_three_films_are_sent_at_once(page: Page, films: dict[str, Path], tmp_path: Path) -> None:
    held: list[Route] = []
    page.route("**/cases/upload/", lambda route: held.append(route) if route.request.method == "POST" else route.continue_())
    many = [tmp_path / f"film {n}.jpg" for n in range(5)]
    for path in many:
        path.write_bytes(films["one.jpg"].read_bytes())
    choose(page, *many)
    expect(page.get_by_text("Waiting to be sent")).to_have_count(2)
    page.wait_for_timeout(200)
    assert len(held) == 3
    for route in held[:3]:
        route.fulfill(status=422, body='{"code": "EMPTY_FILE", "message": "Empty."}', content_type="application/json")
    expect(page.get_by_text("Waiting to be sent")).to_have_count(0)
    page.wait_for_timeout(200)
    for route in held[3:]:
        route.fulfill(status=422, body='{"code": "EMPTY_FILE", "message": "Empty."}', content_type="application/json")
    expect(page.get_by_text("Not accepted")).to_have_count(5)


def test_leaving_during_an_upload_warns(page: Page, films: dict[str, Path]) -> None:
    held: list[Route] = []
    page.route("**/cases/upload/", lambda route: held.append(route) if route.request.method == "POST" else route.continue_())
    page.locator("#drop-zone").click(trial=True)
    page.get_by_label("Record number").click()  # a browser asks only whom has touched the page
    choose(page, films["one.jpg"])
    expect(page.get_by_text("Sending").or_(page.get_by_text("Checking the file"))).to_be_visible()
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.once("dialog", leave)
    page.get_by_role("link", name="Worklist").click()
    page.wait_for_url("**/cases/")
    assert asked == ["beforeunload"]


def test_dropping_works_like_choosing(page: Page) -> None:
    page.evaluate(
        """() => { const data = new DataTransfer();
             data.items.add(new File(["only words"], "dropped.jpg", { type: "image/jpeg" }));
             document.getElementById("drop-zone").dispatchEvent(
               new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })); }"""
    )
    expect(row(page)).to_contain_text("dropped.jpg")
    expect(row(page)).to_contain_text("UNSUPPORTED_FORMAT")


def test_a_hostile_name_is_only_text(page: Page, films: dict[str, Path], tmp_path: Path) -> None:
    hostile = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    hostile.write_bytes(b"words")
    choose(page, hostile)
    expect(row(page).locator("[data-part=name]")).to_have_text(hostile.name)
    expect(page.locator(".file-row img")).to_have_count(0)


def test_without_scripts_the_form_uploads_and_answers_every_file(
    open_browser: Callable[..., Reader], films: dict[str, Path]
) -> None:
    reader = open_browser(scripts=False).log_in("doctor")
    reader.go("/cases/upload/")
    choose(reader.page, films["one.jpg"], films["notes.jpg"])
    reader.page.get_by_role("button", name="Upload", exact=True).click()
    expect(reader.page.locator(".file-row")).to_have_count(2)
    expect(reader.page.locator(".file-row").nth(1)).to_contain_text("UNSUPPORTED_FORMAT")
    reader.page.get_by_role("link", name="Open").first.click()
    expect(reader.page.get_by_role("heading", name="one.jpg")).to_be_visible()
