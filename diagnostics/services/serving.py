"""The predictors that a worker holds: the one in service, replaced while it goes on reading, and the one in shadow.

A new version is loaded and warmed beside the old one, then takes its place between two batches; a batch ends with the predictor
that began it, and the last to give the old one back closes it. A version that cannot be served leaves the old one in its place:
a hospital is better served by yesterday's version than by none. That holds for a running worker alone. At its start a worker
refuses to serve anything but the active version (`diagnostics.worker`): nobody chose another, and nobody would notice.

While no version is in service the one in shadow is held in its place: it draws the films' pictures and reads unseen.
"""

import gc
import logging
import threading
import time
from typing import TYPE_CHECKING

from django.conf import settings

from diagnostics.services import heartbeat
from mlmodel import api

if TYPE_CHECKING:
    from mlmodel.api import Predictor

FOLLOW_SECONDS = 3.0  # between two looks at the registry
RETRY_SECONDS = 15.0  # before a version that could not be loaded is tried again
VERIFY_SECONDS = 60.0  # between two looks at the files of the version that is held: the next start will need them

logger = logging.getLogger(__name__)


class Held:
    """A predictor and how many batches are with it; closed by the last of them once it is retired."""

    def __init__(self, predictor: "Predictor") -> None:
        self.predictor = predictor
        self.version = predictor.info.version
        self._lock = threading.Lock()
        self._batches = 0
        self._retired = False

    def take(self) -> bool:
        """Have it for a batch; false where it is retired."""
        with self._lock:
            self._batches += not self._retired
            return not self._retired

    def give_back(self) -> None:
        """The batch has been through."""
        with self._lock:
            self._batches -= 1
            over = self._retired and self._batches == 0
        if over:
            self._close()

    def retire(self) -> None:
        """No further batch; closed now, or by the last one."""
        with self._lock:
            over = not self._retired and self._batches == 0
            self._retired = True
        if over:
            self._close()

    def _close(self) -> None:
        self.predictor.close()
        del self.predictor
        logger.info("model %s is closed", self.version)


class Serving:
    """Follows the registry for one worker. `look` and `stop` are called from one thread at a time.

    `suspended` says that `predictor` is the version in shadow, and none is in service.
    """

    def __init__(self, predictor: "Predictor", *, worker: str, suspended: bool = False) -> None:
        self._worker = worker
        self._active = Held(predictor)
        self._suspended = suspended
        self._shadow: Held | None = None
        self._trouble: dict[str, tuple[str, float]] = {}  # version: what is wrong, and when it is tried again
        self._described: tuple[str, str] | None = None
        self._verify_at, self._damage = time.monotonic() + VERIFY_SECONDS, ""

    def take(self) -> Held:
        """The predictor in service, to be given back when the batch is through it; while `is_suspended`, to draw with alone."""
        while True:
            held = self._active
            if held.take():
                return held

    def take_shadow(self) -> Held | None:
        """The one in shadow, likewise, or None."""
        held = self._active if self._suspended else self._shadow
        return held if held is not None and held.take() else None

    @property
    def version(self) -> str:
        """The version in service; empty while there is none."""
        return "" if self._suspended else self._active.version

    @property
    def is_suspended(self) -> bool:
        """No version is in service: no case is to be claimed."""
        return self._suspended

    def look(self) -> None:
        """Hold what the registry wants held. Raises `DatabaseError`, and changes nothing then."""
        wanted = api.versions_in_service()
        self._trouble = {name: trouble for name, trouble in self._trouble.items() if name in {wanted.active, wanted.shadow}}
        if wanted.active is None:
            self._suspend(wanted.shadow)
            return
        if wanted.active != self._active.version and (new := self._load(wanted.active)):
            self._replace(new)
        if self._suspended and wanted.active == self._active.version:
            self._suspended = False
            logger.info("model %s is in service: films are read again", wanted.active)
        self._follow_shadow(wanted.shadow if settings.SHADOW_SHARE else None)
        self._verify()
        self._describe(wanted.active)

    def _suspend(self, shadow: str | None) -> None:
        """Read for nobody from now on. What cannot be loaded leaves the predictor that is there, which draws pictures."""
        if not self._suspended:
            self._suspended = True
            logger.warning("no version is in service: films wait, %s reads in shadow", shadow)
        self._follow_shadow(None)
        if shadow and shadow != self._active.version and (new := self._load(shadow)):
            self._replace(new)
        self._verify()
        self._describe(shadow or "")

    def _replace(self, new: Held) -> None:
        old, self._active, self._damage = self._active, new, ""
        old.retire()
        logger.info("model %s is held in place of %s", new.version, old.version)
        _forget_garbage()

    def stop(self) -> None:
        """Close what is held, at the latest with the last batch."""
        for held in (self._shadow, self._active):
            if held is not None:
                held.retire()

    def _follow_shadow(self, wanted: str | None) -> None:
        if wanted == (self._shadow.version if self._shadow else None):
            return
        old, self._shadow = self._shadow, None
        if old is not None:
            old.retire()
        if wanted is not None:
            self._shadow = self._load(wanted)
        _forget_garbage()

    def _load(self, version: str) -> Held | None:
        """Loaded and warm, or None; what is wrong is logged once, and tried again after a while."""
        known, again_at = self._trouble.get(version, ("", 0.0))
        if time.monotonic() < again_at:
            return None
        words = "cannot be loaded"
        try:
            return Held(_load_warm(version, beside=self._active.predictor))
        except api.ModelError as error:
            words, cause = TROUBLES.get(type(error), words), str(error)
        except Exception as error:  # noqa: BLE001 - whatever a tensor library raises: the worker goes on with what it has
            cause = f"{type(error).__name__}: {error}"
        if known != words:
            logger.error("model %s %s, %s goes on serving: %s", version, words, self._active.version, cause)
        self._trouble[version] = (words, time.monotonic() + RETRY_SECONDS)
        return None

    def _verify(self) -> None:
        """The files of the version that is held, once in a while: it reads on from memory, and would not start again."""
        if time.monotonic() < self._verify_at:
            return
        self._verify_at, damage, version = time.monotonic() + VERIFY_SECONDS, "", self._active.version
        try:
            api.verify_version(version)
        except api.ModelError as error:
            damage = f"{TROUBLES.get(type(error), 'cannot be read')} on disk"
            if damage != self._damage:
                logger.error("model %s %s, and is read from memory until the worker ends: %s", version, damage, error)  # noqa: TRY400
        self._damage = damage

    def _describe(self, wanted: str) -> None:
        """Into the worker's row, where it has changed."""
        words = self._damage
        if wanted != self._active.version:
            words = self._trouble.get(wanted, ("", 0.0))[0]
        now = (self.version, f"{wanted} {words}" if words else "")
        if now != self._described:
            engine = self._active.predictor.engine
            heartbeat.describe_model(name=self._worker, model_version=now[0], engine=engine, model_error=now[1])
            self._described = now


TROUBLES: dict[type[Exception], str] = {
    api.ArtifactMissingError: "is missing",
    api.ArtifactCorruptError: "is corrupt",
    api.ArtifactIncompatibleError: "does not fit this software",
}


def say_trouble(version: str, error: api.ModelError) -> str:
    """What is wrong with a version, for `Worker.model_error`: no path, no hash."""
    return f"{version} {TROUBLES.get(type(error), 'cannot be loaded')}"


def _load_warm(version: str, *, beside: "Predictor") -> "Predictor":
    """The decoding children are shared: new ones, ranked below everything else, would take long to start on a busy machine."""
    predictor = api.load(version, beside=beside)
    if predictor.info.version != version:
        predictor.close()
        raise api.ArtifactCorruptError(f"The artifact of {version} holds {predictor.info.version}.")
    try:
        predictor.warm_up()
    except BaseException:
        predictor.close()
        raise
    return predictor


def _forget_garbage() -> None:
    """What a replaced predictor leaves in cycles was frozen with the rest when the worker began."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
