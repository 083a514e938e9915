"""The session's end in a real browser: the warning, the kept note, the way back. On a portal whose sessions last seconds."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Reader
from tests.portal import Portal, running_portal

pytestmark = pytest.mark.browser
IDLE = 14
REFUSE = """
from django.utils import timezone
from diagnostics.models import Case
case = Case.objects.order_by("pk").first()
Case.objects.filter(pk=case.pk).update(
    state="refused", refusal_code="COLOUR_PHOTO", display="unavailable", finished_at=timezone.now()
)
print(case.pk)
"""


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """In place of the one that all share, and without a worker."""
    with running_portal(tmp_path_factory.mktemp("hasty"), {"SESSION_IDLE_SECONDS": str(IDLE)}, parts=("web",)) as running:
        yield running


@pytest.fixture(scope="module")
def case_url(portal: Portal) -> str:
    """A case that was read already, for there is no worker here."""
    return f"/cases/{portal.manage('shell', '--verbosity', '0', '-c', REFUSE).split()[-1]}/"


@pytest.fixture
def reader(open_browser: Callable[..., Reader]) -> Reader:
    return open_browser().log_in("doctor")


def test_an_idle_page_warns_logs_off_and_gives_the_note_back(reader: Reader, case_url: str) -> None:
    page = reader.page
    reader.go(case_url)
    page.get_by_label("Uncertain").check()
    page.get_by_label("Note").fill("Half a sentence about the left")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible(timeout=IDLE * 1000)
    expect(dialog.get_by_role("button", name="Stay logged in")).to_be_focused()
    page.wait_for_url("**/accounts/login/**ended=1", timeout=2 * IDLE * 1000)
    expect(page.get_by_text("You were logged out")).to_be_visible()
    assert "Half a sentence" not in page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")

    page.fill("input[name=login]", reader.portal.logins["doctor"]["email"])
    page.fill("input[name=password]", reader.portal.logins["doctor"]["password"])
    page.click("main button[type=submit]")
    page.wait_for_url(f"**{case_url}")
    expect(page.get_by_label("Note")).to_have_value("Half a sentence about the left")
    expect(page.get_by_label("Uncertain")).to_be_checked()
    expect(page.get_by_text("It is not saved as a review yet")).to_be_visible()


def test_the_next_one_at_the_computer_reads_nothing_of_it(reader: Reader, case_url: str) -> None:
    colleague = Reader(reader.page.context.new_page(), reader.portal)
    reader.page.context.clear_cookies()
    colleague.log_in("colleague")
    colleague.go(case_url)
    assert "Half a sentence" not in colleague.page.content()


@pytest.mark.parametrize("key", ["Enter", "Escape"])
def test_one_key_keeps_the_user_logged_in(reader: Reader, key: str) -> None:
    page = reader.page
    reader.go("/cases/")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible(timeout=IDLE * 1000)
    page.keyboard.press(key)
    expect(dialog).to_be_hidden()
    assert page.evaluate("fetch('/accounts/session/').then((answer) => answer.json())")["seconds"] > IDLE / 2


def test_typing_is_activity_though_nothing_is_sent(reader: Reader, case_url: str) -> None:
    page = reader.page
    reader.go(case_url)
    for _ in range(IDLE + 4):
        page.get_by_label("Note").press_sequentially("word ")
        page.wait_for_timeout(1000)
    assert reader.go("/cases/") == 200
    assert page.url.endswith("/cases/")
