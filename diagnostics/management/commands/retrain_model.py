"""Close the loop: learn from what clinicians have signed, and offer the result as a candidate."""

import json
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from diagnostics.management.commands.export_training_set import run_export
from diagnostics.services import retraining
from diagnostics.services.retraining import BusyError, Plan, RetrainingError, Workplace
from diagnostics.services.training_set import ExportError
from mlmodel import api

STOPPED = 3  # train_model was asked to stop, and has saved where it was


class Command(BaseCommand):
    help = (
        "Train a candidate on the films that clinicians have signed, from the weights of the version in service and with its "
        "split kept, judge both on the same films and register the candidate. The version in service stays. Safe to run from a "
        "timer: one run at a time, nothing is done below --min-new films, and a run that was stopped is gone on with."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--base-data", type=Path, metavar="DIR", help="films to train on besides, a folder or manifest CSV")
        parser.add_argument(
            "--outliers", type=Path, metavar="DIR", help="films that are not to be read, such as adults', for the gate to know"
        )
        parser.add_argument(
            "--test-objects", type=Path, metavar="DIR", help="drawn films that the gate is to let pass, such as the demo's"
        )
        parser.add_argument("--out", type=Path, metavar="DIR", help="where versions are kept (default: MODEL_DIR)")
        parser.add_argument(
            "--min-new", type=int, default=50, metavar="N", help="films signed since the last run (default: 50)"
        )
        parser.add_argument("--config", help="recipe (default: that of the version in service, a tenth of its learning rate)")
        parser.add_argument("--json", action="store_true", help="print what was done as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        out = options["out"] or Path(settings.MODEL_DIR)
        for name in retraining.FOLDERS:
            if options[name] and not options[name].exists():
                raise CommandError(f"There is no {options[name]}.")
            if options[name] and name in retraining.FOR_GATE and not options[name].is_dir():
                raise CommandError(f"{options[name]} is no folder.")
        try:
            place = Workplace(out.resolve())
            with place.locked():
                done = self._run(place, options)
        except BusyError:
            done = {"status": "busy", "message": "Another run is at work; nothing was done."}
        except (RetrainingError, ExportError, api.ModelError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename or out}: {error.strerror or error}") from error
        self.stdout.write(json.dumps(done) if options["json"] else done["message"])

    def _run(self, place: Workplace, options: dict[str, Any]) -> dict[str, Any]:
        plan = place.read_plan()
        if plan is None:
            new = retraining.count_new_films(place)
            if new < max(options["min_new"], 1):
                message = f"{new} film(s) signed since the last run, fewer than {options['min_new']}: nothing was done."
                return {"status": "nothing to do", "new_films": new, "message": message}
            plan = retraining.make_plan(place, new_films=new, folders=options)
            if unshown := retraining.unshown_films(plan):
                named = " and ".join(f"--{name.replace('_', '-')}" for name in unshown)
                self.stderr.write(
                    f"Warning: the gate of {plan.started_from} knows films that this run is not shown: see {named}."
                )
            place.begin(plan)
        else:
            self.stderr.write(
                f"Going on with version {plan.version}, which was not finished, and with the folders that were named then."
            )
        try:
            report = self._work(place, plan, options)
        except api.DecoderUnavailableError:
            raise  # a busy machine: the next run tries the same again
        except (RetrainingError, ExportError, api.ModelError, CommandError) as error:
            if getattr(error, "returncode", 1) != STOPPED:
                place.abandon(plan)  # these films will not do: the next run begins anew, with what is signed by then
            raise
        place.finish(plan)
        return _describe(plan, report)

    def _work(self, place: Workplace, plan: Plan, options: dict[str, Any]) -> dict[str, Any]:
        quiet = options["json"]
        export = place.work / retraining.EXPORT
        if not export.exists():
            for draft in place.work.glob(f".{retraining.EXPORT}-*"):  # of a run that was killed
                shutil.rmtree(draft)
            run_export(retraining.reviews_of(plan), export, quiet=quiet)
        manifest = retraining.write_manifest(place, plan)
        config = options["config"] or str(retraining.write_config(place, plan))
        artifact = retraining.train(place, plan, manifest=manifest, config=config, quiet=quiet)
        return retraining.evaluate(place, plan, artifact, quiet=quiet)


def _describe(plan: Plan, report: dict[str, Any]) -> dict[str, Any]:
    comparison = report["comparison"]
    verdict = "not worse than" if comparison["non_inferior"] else "possibly worse than"
    message = (
        f"Version {plan.version} is a candidate: {verdict} {plan.started_from} on {report['n']} films of {report['patients']} "
        f"patients. activate_model {plan.version} asks to put it into service."
    )
    known = {"version": plan.version, "started_from": plan.started_from, "new_films": plan.new_films, "n": report["n"]}
    return {"status": "trained", **known, "comparison": comparison, "message": message}
