"""Everything that `deploy/` configures, running together: films over HTTPS, every target up, and faults that reach a person."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.edge import log_in
from tests.deploy.system import MISSING, System, whole_system
from tests.faults import disks
from tests.faults.films import make_film
from tests.faults.marks import CANARY
from tests.monitoring.dashboards import empty_panels, queries
from tests.servers import wait_until

FILMS = 4
JOBS = {"portal", "worker", "reconcile", "nginx", "redis", "postgres", "node", "certificate", "prometheus", "alertmanager"}

pytestmark = [
    pytest.mark.model,
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.s3,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with whole_system(tmp_path_factory.mktemp("system")) as running:
        yield running


def upload(system: System, number: int) -> str:
    """The id of the case of a film that no other number has."""
    film = make_film("system", number)
    answer = system.edge.ask(
        "POST",
        "/api/v1/cases",
        files={"file": ("film.png", film.content)},
        data={"patient_mrn": f"{CANARY}1", "patient_name": f"{CANARY}NAME"},
        headers=system.portal.bearer("doctor"),
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def state_of(system: System, case_id: str) -> str:
    answer = system.edge.ask("GET", f"/api/v1/cases/{case_id}", headers=system.portal.bearer("doctor"))
    return str(answer.json()["state"])


def test_films_are_read_over_https_and_every_target_is_up(system: System) -> None:
    cases = [upload(system, number) for number in range(FILMS)]
    wait_until(lambda: all(state_of(system, case) == "done" for case in cases), "the results")
    login = system.portal.logins["doctor"]
    with log_in(system.edge.url, system.edge.certificate, login["email"], login["password"]) as session:
        page = session.get(f"{system.edge.url}/cases/{cases[0]}/", timeout=30)
        assert (page.status_code, f"{CANARY}NAME" in page.text) == (200, True)
    wait_until(lambda: system.prometheus.jobs_up() == JOBS, "every target's answer")


def test_a_result_is_counted(system: System) -> None:
    results = "sum(portal_result_seconds_count)"
    wait_until(lambda: system.prometheus.value(results) is not None, "a figure")
    before = system.prometheus.value(results) or 0
    upload(system, FILMS + 2)
    wait_until(lambda: system.prometheus.value(results) == before + 1, "the count of one more result")


def test_the_exporters_reach_what_they_watch(system: System) -> None:
    for query in ("redis_up", "pg_up", "nginx_up", "probe_success"):
        wait_until(lambda query=query: system.prometheus.value(query) == 1, query)  # type: ignore[misc]
    assert (system.prometheus.value("probe_ssl_earliest_cert_expiry - time()") or 0) > 0


def test_the_panels_that_no_small_portal_fills_show_something_here(system: System) -> None:
    asked = queries(elsewhere=True)
    assert len(asked) > 4
    assert empty_panels(system.prometheus, asked) == []


def test_a_killed_worker_is_told_and_so_is_its_return(system: System) -> None:
    system.worker.stop(number=9)
    try:
        waiting = upload(system, FILMS)
        wait_until(lambda: system.alarms.called("NoWorker"), "the call about the worker", seconds=120)
        wait_until(lambda: system.alarms.mailed("NoWorker"), "the mail about the worker")
        assert state_of(system, waiting) == "queued"
    finally:
        system.worker.start()
    wait_until(lambda: system.alarms.called("NoWorker", "resolved"), "the all-clear", seconds=120)
    wait_until(lambda: state_of(system, waiting) == "done", "the result of what waited")


def test_a_stopped_redis_is_told_while_films_are_read(system: System) -> None:
    system.redis.stop()
    try:
        wait_until(lambda: system.alarms.mailed("RedisDown"), "the mail about Redis")
        case = upload(system, FILMS + 1)
        wait_until(lambda: state_of(system, case) == "done", "a result without Redis")
    finally:
        system.redis.start()


def test_a_disk_that_fills_is_told(system: System) -> None:
    if system.disk is None:
        pytest.skip("needs root and loop devices")
    free = f'node_filesystem_avail_bytes{{mountpoint="{system.disk}"}}'
    wait_until(lambda: (system.prometheus.value(free) or 0) > 0, "the disk's figures")
    disks.fill(system.disk)
    try:
        wait_until(lambda: system.alarms.called("DiskFilling"), "the call about the disk")
    finally:
        disks.empty(system.disk)


def test_nothing_that_was_sent_names_a_patient(system: System) -> None:
    assert system.alarms.calls
    assert system.alarms.mails
    assert CANARY not in system.alarms.everything()


def test_the_parts_log_no_patient(system: System) -> None:
    logs = [path for path in Path(system.portal.var_dir).rglob("*.log") if "redis" not in path.parts]
    assert logs
    assert [path.name for path in logs if CANARY.encode() in path.read_bytes()] == []
