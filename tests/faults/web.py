"""`python -m tests.faults.web`: gunicorn, which must be able to sleep under a wrong clock too."""

from gunicorn.app.wsgiapp import run  # type: ignore[import-untyped]

from tests.faults.clock import mend_sleep

if __name__ == "__main__":
    mend_sleep()
    run()
