"""`python -m tests.corpus`: every bad upload through a running portal; a table, JSON under build/, 1 for any odd answer."""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.corpus import build_corpus
from tests.corpus.campaign import NO_QUOTA, SECONDS_EACH, run_campaign
from tests.faults.report import BUILD, commit, fill_page
from tests.portal import ROOT, running_portal

PAGE = ROOT / "docs" / "reliability.md"


def as_markdown(run: dict[str, Any]) -> str:
    lines = [
        (
            f"Commit `{run['commit']}`, seed {run['seed']}: {run['named']} named files and {run['mutants']} mutants, "
            f"{run['files']} uploads in all."
        ),
        "",
        "| way | answered by | answer | files |",
        "|---|---|---|--:|",
    ]
    lines += [f"| {' | '.join(name.split(': '))} | {number} |" for name, number in sorted(run["answers"].items())]
    memory = ", ".join(f"{kind} {peak:.0f} MB" for kind, peak in run["memory_mb"].items())
    lines += [
        "",
        (
            f"HTTP 500: {run['http_500']}; unexpected answers: {len(run['unexpected'])}; the worker's process id "
            f"{'did not change' if run['worker_lived'] else 'CHANGED'}; slowest answer {run['slowest']:.1f} s of "
            f"{SECONDS_EACH:.0f}; most memory ever resident: {memory}."
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, default=BUILD / "corpus.json")
    parser.add_argument("--page", type=Path, help="only write the table of that JSON into docs/reliability.md")
    options = parser.parse_args()
    if options.page:
        fill_page(PAGE, name="corpus", content=as_markdown(json.loads(options.page.read_text(encoding="utf-8"))))
        return 0
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder, running_portal(Path(folder), NO_QUOTA) as portal:
        campaign = run_campaign(portal, mutants=options.mutants, seed=options.seed)
    run = {
        "commit": commit(),
        "seed": options.seed,
        "named": len(build_corpus()),
        "mutants": options.mutants,
        "http_500": sum(number for name, number in campaign.answers.items() if name.endswith(": 500")),
        **vars(campaign),
    }
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(run, indent=1), encoding="utf-8")
    print(as_markdown(run))
    for text in campaign.unexpected[:40]:
        print(text)
    return campaign.broken


if __name__ == "__main__":
    sys.exit(main())
