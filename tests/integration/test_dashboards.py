"""Every panel of the dashboards shows something, on a real Prometheus that scrapes the running portal as we ship it."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest
import requests

from diagnostics.demo import DEMO_FILMS
from tests.corpus import REFUSED_AT_READING, build_corpus
from tests.corpus.campaign import log_in
from tests.monitoring.dashboards import NODE_EXPORTER, empty_panels, queries
from tests.monitoring.prometheus import Prometheus, prometheus_server
from tests.monitoring.samples import read_page
from tests.portal import Portal, running_portal
from tests.servers import free_port, port_answers, process, wait_until

pytestmark = [
    pytest.mark.model,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed"),
]
# 210 results of the version in service, and of some what a doctor signed
SIGNED_CASES = """
from accounts.models import User
from diagnostics.services.reviews import record_review
from mlmodel import api
from tests.diagnostics.cases import make_case, make_prediction
doctor = User.objects.get(email=EMAIL)
for number in range(210):
    case = make_case(doctor, state="done")
    make_prediction(case, probability=number % 100 / 100, model_version=api.active_version())
    if number % 10 == 7:
        finding = "PNEUMONIA" if number % 100 >= 50 else "NO_PNEUMONIA"
        record_review(case=case, reviewer=doctor, finding=finding, verdict="agree", sign=True)
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, film_jpeg: bytes) -> Iterator[tuple[Portal, Prometheus]]:
    """A portal in use, and Prometheus beside it."""
    worker_port, directory = free_port(), tmp_path_factory.mktemp("watched")
    settings = {"WORKER_METRICS_PORT": str(worker_port), "STOP_RULE_AGREEMENT": "0.5"}
    with ExitStack() as stack:
        portal = stack.enter_context(running_portal(tmp_path_factory.mktemp("portal"), settings))
        code = SIGNED_CASES.replace("EMAIL", repr(portal.logins["doctor"]["email"]))
        portal.manage("shell", "-c", code)
        targets = {"portal": urlsplit(portal.url).port or 0, "worker": worker_port}
        if NODE_EXPORTER:
            targets["node"] = free_port()
            command = [NODE_EXPORTER, f"--web.listen-address=127.0.0.1:{targets['node']}"]
            stack.enter_context(process(command, directory / "node.log"))
            wait_until(lambda: port_answers(targets["node"]), "the node exporter's start")
        use(portal, film_jpeg)
        prometheus = stack.enter_context(prometheus_server(directory, targets))
        wait_until(lambda: prometheus.jobs_up() == {*targets, "prometheus"}, "an answer of every target")
        use(portal, film_jpeg)
        yield portal, prometheus


def use(portal: Portal, film: bytes) -> None:
    """A film that is read, one that is refused when it is read, each opened by a doctor, and one turned away at the upload."""
    refused = next(item for item in build_corpus().values() if item.expected == REFUSED_AT_READING)
    sent = {"done": portal.upload(film), "refused": portal.upload(refused.data, refused.file_name)}
    with requests.Session() as browser:
        log_in(portal, browser)
        for state, answer in sent.items():
            case_id = answer.json()["id"]
            assert portal.wait_for(case_id)["state"] == state
            browser.get(f"{portal.url}/cases/{case_id}/", timeout=30).raise_for_status()
    assert portal.upload(b"%PDF-1.7 no film", "report.pdf").status_code == 422


def test_every_panel_shows_something(watched: tuple[Portal, Prometheus]) -> None:
    _, prometheus = watched
    asked = queries(elsewhere=False)
    assert len(asked) > 45
    assert empty_panels(prometheus, asked) == []


def test_what_prometheus_reads_is_what_happened(watched: tuple[Portal, Prometheus]) -> None:
    portal, prometheus = watched
    happened = {
        "sum(portal_predictions_total)": 2 + len(DEMO_FILMS),
        'sum(portal_refusals_total{at="reading"})': 2,
        'sum(portal_refusals_total{at="upload", code="UNSUPPORTED_FORMAT"})': 2,
        "sum(portal_result_seconds_count)": 4 + len(DEMO_FILMS),
        "sum(portal_first_view_seconds_count)": 4,
    }
    told: dict[str, float | None] = {}

    def is_told() -> bool:
        told.update({query: prometheus.value(query) for query in happened})
        return told == happened

    with suppress(TimeoutError):
        wait_until(is_told, "the second use at Prometheus", seconds=30)
    assert told == happened
    assert prometheus.value("portal:workers_alive") == 1
    assert prometheus.value("portal:agreement:ratio") == 1
    fired = {sample["metric"]["alertname"] for sample in prometheus.ask('ALERTS{alertstate="firing"}')}
    assert not fired & {"NoWorker", "AnalysisDelayed", "ReconcileStopped", "TargetDown", "FiguresUnreadable"}
    assert portal.is_ready()


def test_whichever_web_process_answers_tells_what_all_have_counted(watched: tuple[Portal, Prometheus]) -> None:
    portal, _ = watched

    def counted() -> float:
        page = requests.get(f"{portal.url}/metrics", timeout=10, headers={"Connection": "close"}).text
        return read_page(page)["portal_django_http_requests_before_middlewares_total"][frozenset()]

    before = counted()
    for _ in range(20):
        requests.get(f"{portal.url}/healthz", timeout=10, headers={"Connection": "close"})
    seen = [counted() for _ in range(10)]
    assert seen[0] >= before + 20
    assert seen == sorted(seen)
