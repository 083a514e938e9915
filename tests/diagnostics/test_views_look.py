"""The look's promises that need no browser: nothing inline, nothing from elsewhere, contrast, vendored files unchanged."""

import hashlib
import re
from pathlib import Path

import pytest
from django.template.loader import render_to_string
from django.test import Client

from accounts.models import User
from diagnostics.models import Patient
from tests.diagnostics.cases import make_case, make_prediction
from tests.portal import ROOT

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
STYLES = sorted((ROOT / "static" / "css").glob("*.css"))
SCRIPTS = sorted((ROOT / "static" / "js").glob("*.js"))
VENDOR = ROOT / "static" / "vendor"
# A script element of type application/json is data; no browser runs it
INLINE = re.compile(
    r"<script(?![^>]*(?:\bsrc=|type=.application/json))[^>]*>|<style|\sstyle=|\son[a-z]+=|javascript:|hx-on", re.IGNORECASE
)
ELSEWHERE = re.compile(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:)?//""", re.IGNORECASE)
TEXT, LARGE = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_holds_anything_inline_or_from_elsewhere(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    if "email" not in template.parts:
        assert not INLINE.search(text)
        assert not ELSEWHERE.search(text)


@pytest.mark.parametrize("path", [*STYLES, *SCRIPTS], ids=lambda path: path.name)
def test_own_styles_and_scripts_are_short_and_local(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert len(text.splitlines()) < 400
    assert "eval(" not in text
    assert "innerHTML" not in text


def test_vendored_files_are_those_that_are_listed() -> None:
    readme = (VENDOR / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"`([\w.-]+\.(?:css|js|woff2))` \| `([0-9a-f]{64})`", readme)
    files = [path for path in VENDOR.rglob("*.*") if path.suffix in {".css", ".js", ".woff2"}]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert dict(listed) == found
    for folder in VENDOR.iterdir():
        assert folder.is_file() or any(folder.glob("LICENSE*")), f"{folder.name} has no licence beside it"


def tokens(theme: str) -> dict[str, str]:
    text = (ROOT / "static" / "css" / "portal.css").read_text(encoding="utf-8")
    block = text.split(f'[data-bs-theme="{theme}"] {{', 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block))


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_wcag_says() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("ground", ["ground", "surface", "raised"])
@pytest.mark.parametrize(
    ("ink", "least"),
    [("ink", TEXT), ("ink-soft", TEXT), ("accent", TEXT), ("danger", TEXT), ("notice", LARGE), ("line-strong", LARGE)],
)
def test_text_and_controls_stand_out_from_every_ground(theme: str, ground: str, ink: str, least: float) -> None:
    colours = tokens(theme)
    assert contrast(colours[ink], colours[ground]) >= least


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("accent-ink", "accent"),
        ("ink", "accent-wash"),
        ("ink", "notice-wash"),
        ("ink", "danger-wash"),
        ("accent", "accent-wash"),
    ],
)
def test_text_on_coloured_grounds_is_readable(theme: str, ink: str, ground: str) -> None:
    colours = tokens(theme)
    assert contrast(colours[ink], colours[ground]) >= TEXT


def test_the_theme_is_in_the_first_byte_and_not_put_on_later(client: Client, doctor: User) -> None:
    client.force_login(doctor)
    assert 'data-bs-theme="dark"' in client.get("/cases/").content.decode()
    client.cookies["theme"] = "light"
    assert 'data-bs-theme="light"' in client.get("/cases/").content.decode()
    client.cookies["theme"] = '"><script>'
    assert 'data-bs-theme="dark"' in client.get("/cases/").content.decode()


@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "413", "500", "503"])
def test_error_pages_need_no_context(name: str) -> None:
    text = render_to_string(f"{name}.html")
    assert "<h1>" in text
    assert not INLINE.search(text)


def test_no_page_as_sent_holds_anything_inline(client: Client, doctor: User) -> None:
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-1")
    case = make_case(doctor, state="done", patient=patient)
    make_prediction(case)
    client.force_login(doctor)
    for address in ("/cases/", "/cases/upload/", case.get_absolute_url(), patient.get_absolute_url()):
        answer = client.get(address)
        assert not INLINE.search(answer.content.decode()), address
        policy = answer.headers["Content-Security-Policy"]
        assert "style-src 'self'" in policy
        assert "unsafe" not in policy


def test_every_page_carries_the_notice_and_a_skip_link(client: Client, doctor: User) -> None:
    client.force_login(doctor)
    for address in ("/cases/", "/cases/upload/"):
        text = client.get(address).content.decode()
        assert "Investigational software, not a medical device." in text
        assert 'href="#main"' in text
        assert 'id="main"' in text
