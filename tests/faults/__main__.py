"""`make faults`: every fault of the matrix against the running portal; a table, JSON under build/, and status 1 where an
invariant is broken.
"""

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from tests.faults.disks import unmount_all
from tests.faults.matrix import choose, run_all
from tests.faults.parts import end_all
from tests.faults.report import BUILD, as_markdown, fill_page, print_table, write_json
from tests.faults.site import PRODUCTION, QUICK
from tests.portal import ROOT

PAGE = ROOT / "docs" / "reliability.md"
PACES = {pace.name: pace for pace in (PRODUCTION, QUICK)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--count", "-n", type=int, default=200, help="uploads a fault (default: 200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault", action="append", default=[], help="only this one; may be given again (default: all)")
    parser.add_argument("--pace", choices=PACES, default=PRODUCTION.name, help="the portal's timings (default: as it ships)")
    parser.add_argument(
        "--network", action="store_true", help="the shipped network instead of the stub (without F16, F17, F23)"
    )
    parser.add_argument("--soak", type=float, default=0.0, help="minutes of F24 (default: as long as uploads come)")
    parser.add_argument("--lanes", type=int, default=1, help="portals side by side (default: 1, so that none disturbs another)")
    parser.add_argument("--out", type=Path, default=BUILD / "faults.json")
    parser.add_argument("--page", type=Path, help="only write the table of that JSON into docs/reliability.md")
    parser.add_argument("--mark", default="faults", help="the page's place for it (default: faults)")
    return parser.parse_args()


def give_up(number: int, _frame: object) -> None:
    """End what was started; several lanes may be at work, and none of them asks whether to go on."""
    end_all()
    unmount_all()
    os._exit(128 + number)


def main() -> int:
    options = parse()
    if options.page:
        run = json.loads(options.page.read_text(encoding="utf-8"))
        fill_page(PAGE, name=options.mark, content=as_markdown(run))
        return 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, give_up)
    if options.network:
        os.environ["FAULTS_REAL_MODEL"] = "1"  # inherited by the worker
    try:
        faults = choose(options.fault, network=options.network)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    run = run_all(
        faults,
        count=options.count,
        seed=options.seed,
        pace=replace(PACES[options.pace], soak=60 * options.soak),
        lanes=options.lanes,
        note=lambda run: write_json(run, options.out),
    )
    print_table(run["rows"])
    write_json(run, options.out)
    print(f"{options.out.name}: {run['minutes']} minutes, broken: {', '.join(run['broken']) or 'none'}")
    return bool(run["broken"])


if __name__ == "__main__":
    sys.exit(main())
