"""The film viewer: what is on the screen is exactly what the window says, by mouse and by keyboard."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Reader
from tests.portal import Portal

pytestmark = [pytest.mark.browser, pytest.mark.model]
PATIENCE = 30_000  # milliseconds
Sample = list[int]


@pytest.fixture(scope="module")
def case_url(portal: Portal, films: dict[str, Path]) -> str:
    """A film that is analysed and drawn."""
    answer = portal.upload(films["two 😀.png"].read_bytes(), "viewer.png").json()
    portal.wait_for(answer["id"])
    return f"/cases/{answer['id']}/"


@pytest.fixture
def page(doctor_at: Reader, case_url: str) -> Page:
    doctor_at.go(case_url)
    expect(doctor_at.page.locator("#viewer[data-ready]")).to_be_visible(timeout=PATIENCE)
    doctor_at.page.locator(".openseadragon-canvas").first.focus()
    return doctor_at.page


def settle(page: Page) -> None:
    """Two frames: one to draw, one to have drawn."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 120))))")


def greys(page: Page) -> Sample:
    """Grey values on a grid over the middle of the stage, as a screenshot shows them."""
    settle(page)
    picture = Image.open(io.BytesIO(page.locator("[data-part=stage]").screenshot())).convert("L")
    width, height = picture.size
    steps = [0.35, 0.42, 0.5, 0.58, 0.65]
    return [int(picture.getpixel((int(width * x), int(height * y)))) for x in steps for y in steps]  # type: ignore[arg-type]


def transfer(grey: int, width: int, level: int) -> float:
    return min(255.0, max(0.0, (grey - level) * 255 / width + 127.5))


def test_the_window_is_an_exact_linear_transfer(page: Page) -> None:
    plain = greys(page)
    assert len(set(plain)) > 5, "the film is not on the screen"
    page.get_by_label("Window width").fill("100")
    page.get_by_label("Level", exact=True).fill("150")
    for before, after in zip(plain, greys(page), strict=True):
        assert after == pytest.approx(transfer(before, 100, 150), abs=3.0)  # one grey step of the source is 2.55 here


def test_inverting_mirrors_every_grey_and_twice_is_nothing(page: Page) -> None:
    plain = greys(page)
    page.keyboard.press("i")
    inverted = greys(page)
    assert all(abs(255 - before - after) <= 1 for before, after in zip(plain, inverted, strict=True))
    page.keyboard.press("i")
    assert greys(page) == plain


def test_the_overlay_lies_over_the_whole_film_and_no_window_touches_it(page: Page) -> None:
    page.keyboard.press("o")
    overlay = page.locator(".viewer-overlay")
    expect(overlay).to_be_visible()
    settle(page)
    assert overlay.evaluate("node => node.complete && node.naturalWidth > 0")
    film = page.evaluate(
        """() => { const film = portal.viewer.film, box = film.viewport.viewportToViewerElementRectangle(
             film.world.getItemAt(0).getBounds()), stage = film.element.getBoundingClientRect();
             return [stage.x + box.x, stage.y + box.y, box.width, box.height]; }"""
    )
    box = overlay.bounding_box()
    assert box is not None
    assert [box["x"], box["y"], box["width"], box["height"]] == pytest.approx(film, abs=1.5)
    assert overlay.evaluate("node => node.closest('.openseadragon-canvas') && getComputedStyle(node).filter") == "none"
    page.keyboard.press("o")
    expect(overlay).to_have_count(0)
    expect(page.get_by_text("Where the model looked, not where the disease is.")).to_be_hidden()


@pytest.mark.parametrize(("strength", "is_clear"), [(10, True), (200, False)])
def test_an_overlay_with_nothing_to_show_says_so(doctor_at: Reader, case_url: str, strength: int, is_clear: bool) -> None:
    page = doctor_at.page
    heatmap = io.BytesIO()
    Image.new("RGBA", (8, 8), (200, 50, 80, strength)).save(heatmap, "PNG")
    page.route("**/heatmap/", lambda route: route.fulfill(body=heatmap.getvalue(), content_type="image/png"))
    doctor_at.go(case_url)
    expect(page.locator("#viewer[data-ready]")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Overlay").click()
    expect(page.get_by_text("Where the model looked, not where the disease is.")).to_be_visible()
    expect(page.get_by_text("Nothing on this film stood out to the model.")).to_be_visible(visible=is_clear)


@pytest.mark.parametrize(
    ("key", "part", "change"), [("[", "width", -8), ("]", "width", 8), (";", "level", -8), ("'", "level", 8)]
)
def test_keys_change_window_and_level(page: Page, key: str, part: str, change: int) -> None:
    value = page.locator(f"[data-part={part}-value]")
    before = int(value.inner_text())
    page.keyboard.press(key)
    assert int(value.inner_text()) == before + change


def zoom_of(page: Page) -> float:
    settle(page)
    zoom: float = page.evaluate("portal.viewer.film.viewport.getZoom(false)")
    return zoom


def centre_of(page: Page) -> list[float]:
    settle(page)
    centre: list[float] = page.evaluate("(c => [c.x, c.y])(portal.viewer.film.viewport.getCenter(false))")
    return centre


def test_keys_zoom_move_fit_and_reset(page: Page) -> None:
    home = zoom_of(page)
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert zoom_of(page) > home * 1.5
    middle = centre_of(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    moved = centre_of(page)
    assert moved[0] > middle[0]
    assert moved[1] > middle[1]
    page.keyboard.press("-")
    page.keyboard.press("f")
    assert zoom_of(page) == pytest.approx(home)
    page.keyboard.press("+")
    page.keyboard.press("i")
    page.keyboard.press("[")
    page.keyboard.press("r")
    assert zoom_of(page) == pytest.approx(home)
    expect(page.locator("[data-part=width-value]")).to_have_text("255")
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "false")


def drag(page: Page, by: tuple[int, int], *, button: str = "left", shift: bool = False) -> None:
    box = page.locator("[data-part=stage]").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if shift:
        page.keyboard.down("Shift")
    page.mouse.move(x, y)
    page.mouse.down(button=button)  # type: ignore[arg-type]
    page.mouse.move(x + by[0], y + by[1], steps=4)
    page.mouse.up(button=button)  # type: ignore[arg-type]
    if shift:
        page.keyboard.up("Shift")


@pytest.mark.parametrize("way", ["right button", "shift", "window mode"])
def test_dragging_changes_the_window_and_leaves_the_film_where_it_is(page: Page, way: str) -> None:
    before = centre_of(page)
    if way == "window mode":
        page.keyboard.press("w")
    drag(page, (-60, 25), button="right" if way == "right button" else "left", shift=way == "shift")
    expect(page.locator("[data-part=width-value]")).to_have_text("195")
    expect(page.locator("[data-part=level-value]")).to_have_text("153")
    assert centre_of(page) == before


def test_a_plain_drag_moves_the_film(page: Page) -> None:
    page.keyboard.press("+")
    page.keyboard.press("+")
    before = centre_of(page)
    drag(page, (-80, 0))
    assert centre_of(page)[0] > before[0]
    expect(page.locator("[data-part=width-value]")).to_have_text("255")


def test_the_help_opens_by_key_and_closes_by_escape(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_letters_typed_in_the_note_change_nothing_on_the_film(page: Page) -> None:
    page.get_by_label("Note").fill("")
    page.get_by_label("Note").press_sequentially("iorf[")
    expect(page.get_by_label("Note")).to_have_value("iorf[")
    expect(page.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "false")
    page.get_by_label("Note").fill("")


def test_a_film_that_does_not_load_says_so_and_can_be_tried_again(doctor_at: Reader, case_url: str) -> None:
    page = doctor_at.page
    page.route("**/display/", lambda route: route.fulfill(status=503, body="down"))
    doctor_at.go(case_url)
    problem = page.get_by_text("The picture could not be loaded.")
    expect(problem).to_be_visible(timeout=PATIENCE)
    page.unroute("**/display/")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#viewer[data-ready]")).to_be_visible(timeout=PATIENCE)
    expect(problem).to_be_hidden()


def test_the_viewer_fits_a_phone(open_browser: Callable[..., Reader], case_url: str) -> None:
    reader = open_browser(viewport=PHONE).log_in("doctor")
    reader.go(case_url)
    expect(reader.page.locator("#viewer[data-ready]")).to_be_visible(timeout=PATIENCE)
    reader.page.get_by_role("button", name="Overlay").click()
    expect(reader.page.locator(".viewer-overlay")).to_be_visible()
    assert reader.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
