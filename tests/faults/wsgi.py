"""The portal as gunicorn serves it, with places to fall. Started as `gunicorn tests.faults.wsgi`."""

import os
from typing import Any

from pneumo_site.wsgi import application as portal
from tests.faults.clock import mend_sleep
from tests.faults.failpoints import reach


def _bring_in_places() -> None:
    from diagnostics import queue, storage
    from diagnostics.services import uploads

    save_film, accept_upload, ring = storage.save_film, uploads.accept_upload, queue.ring

    def save(key: str, file: Any) -> None:
        save_film(key, file)
        if key.startswith("cases/"):
            reach("web.film_saved")

    def rung(case_id: Any) -> bool:
        reach("web.committed")
        return ring(case_id)

    def accept(**named: Any) -> Any:
        accepted = accept_upload(**named)
        reach("web.accepted")
        return accepted

    storage.save_film, queue.ring = save, rung
    # The views have taken their own reference to the service.
    from diagnostics import api
    from diagnostics.views import upload

    for module in (api, upload):
        setattr(module, "accept_upload", accept)  # noqa: B010 - a name that the modules do not export
    if os.environ.get("FAULTS_NO_FSYNC"):
        os.fsync = lambda fd: None


mend_sleep()
_bring_in_places()
application = portal
