"""I1 to I8: what the client's log and what lies in the database and in storage say of each other."""

import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from diagnostics.storage import AUDIT_HEADS
from tests.faults.canaries import find_canaries
from tests.faults.client import Accepted, Client, Reader
from tests.faults.oracle import Answer, expected_of
from tests.faults.records import FINAL, Row
from tests.faults.site import Site


@dataclass
class Verdict:
    """Counts that must be zero, and words about each that is not."""

    lost: int = 0
    duplicate: int = 0
    wrong: int = 0
    stuck: int = 0  # not final when the harness gave up waiting
    late: int = 0  # final, and after the bound
    failed: int = 0  # final, with a code: allowed by I1, and only where the fault explains it
    http_500: int = 0
    rows_without_object: int = 0
    orphans: int = 0
    canaries: int = 0
    words: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        if len(self.words) < 20:
            self.words.append(text)


def judge(site: Site, client: Client, reader: Reader | None, *, run: str, leftovers: Counter[str]) -> Verdict:
    """Hold the site against the client's log. `leftovers` is how many objects of each folder uploads and results that were cut
    off may have left behind: no row names them, and they are swept when they are old enough."""
    verdict = Verdict()
    rows = site.records.cases(run)
    expected = expected_of((one.film for one in client.accepted.values()), site)
    _judge_rows(verdict, client.accepted, rows, expected)
    _judge_doubles(verdict, client, rows)
    _judge_objects(verdict, site, rows, leftovers)
    pages = reader.answers if reader else Counter[int]()
    verdict.http_500 = client.answers[500] + pages[500]
    if verdict.http_500:
        verdict.say(f"500: {client.answers[500]} of the API, {pages[500]} pages")
    places = find_canaries(site, [*client.bodies, *(reader.bodies if reader else ())])
    verdict.canaries = len(places)
    for place in places:
        verdict.say(f"canary in {place}")
    return verdict


def _judge_rows(
    verdict: Verdict, accepted: Mapping[str, Accepted], rows: Mapping[str, Row], expected: Mapping[int, Answer]
) -> None:
    for key, one in accepted.items():
        row = rows.get(one.case_id)
        if row is None or row.key != key:
            verdict.lost += 1
            verdict.say(f"lost: {key} {one.case_id}")
        elif row.state not in FINAL:
            verdict.stuck += 1
            verdict.say(f"stuck: {key} is {row.state}, attempt {row.attempt}")
        elif row.state == "failed":
            verdict.failed += 1
            verdict.say(f"failed: {key} {row.failure}, attempt {row.attempt}")
        elif fault := _fault_of(one, row, expected[one.film.number]):
            verdict.wrong += 1
            verdict.say(f"wrong: {key} {fault}")


def _fault_of(one: Accepted, row: Row, answer: Answer) -> str:
    """What is wrong with a final row; empty where nothing is."""
    if row.sha256 != one.film.sha256:
        return "has another film's hash"
    if row.refusal != answer.refusal:
        return f"refused with {row.refusal!r} instead of {answer.refusal!r}"
    if row.state == "done":
        if len(row.predictions) != 1:
            return f"has {len(row.predictions)} predictions"
        if abs(row.predictions[0][1] - answer.probability) > answer.tolerance:
            return f"says {row.predictions[0][1]} instead of {answer.probability}"
    return ""


def _judge_doubles(verdict: Verdict, client: Client, rows: Mapping[str, Row]) -> None:
    per_version = Counter((row.id, version) for row in rows.values() for version, _, _ in row.predictions)
    per_film = Counter(row.sha256 for row in rows.values())
    verdict.duplicate = sum(number - 1 for number in (*per_version.values(), *per_film.values())) + len(client.second_ids)
    if verdict.duplicate:
        verdict.say(f"duplicate: second ids {client.second_ids[:3]}")


def _judge_objects(verdict: Verdict, site: Site, rows: Mapping[str, Row], leftovers: Counter[str]) -> None:
    stored = site.objects.keys()
    for row in rows.values():
        needed = [row.original_key, *(key for _, _, key in row.predictions if key)]
        if row.display == "ready":
            needed.append(f"displays/{row.id}")
        missing = [key for key in needed if key not in stored]
        damaged = not missing and site.objects.sha256(row.original_key) != row.sha256
        if missing or damaged:
            verdict.rows_without_object += 1
            verdict.say(f"row {row.key}: missing {missing}, damaged {damaged}")
    verdict.orphans = verdict.rows_without_object
    for folder, number in unnamed_objects(site, stored).items():
        if number > leftovers[folder]:
            verdict.orphans += number - leftovers[folder]
            verdict.say(f"{folder}: {number} objects without a row, {leftovers[folder]} explained")


def unnamed_objects(site: Site, stored: set[str]) -> Counter[str]:
    """By folder, objects that no row names; what is still being written is none yet, and ends of the audit log have no row."""
    beyond = stored - site.records.object_keys()
    folders = (key.partition("/")[0] for key in beyond if ".part" not in key)
    return Counter(folder for folder in folders if folder != AUDIT_HEADS)


def verify(site: Site, command: str, *options: str) -> str:
    """What the portal's own command says."""
    try:
        site.portal.manage(command, *options)
    except subprocess.CalledProcessError as error:
        return f"broken: {last_line(error.stdout or error.stderr)[:300]}"
    return "intact"


def verify_audit(site: Site) -> str:
    return verify(site, "verify_audit")


def verify_storage(site: Site, *, quick: bool = False) -> str:
    return verify(site, "verify_storage", "--json", *(["--quick"] if quick else []))


def last_line(text: str | bytes | None) -> str:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text or ""
    return words.strip().splitlines()[-1] if words.strip() else ""
