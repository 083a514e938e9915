"""gunicorn for the embedded set-up: two small processes, four threads each."""

import os
from pathlib import Path

from pneumo_site.logs import gunicorn_config
from pneumo_site.process_metrics import share_counters
from pneumo_site.web_processes import child_exit, when_ready  # noqa: F401 - for gunicorn

bind = f"127.0.0.1:{os.environ.get('PORTAL_PORT', '8000')}"
workers = 2
threads = 4
worker_class = "gthread"
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - a file in memory that the arbiter watches
timeout = 30
graceful_timeout = 10
max_requests = 2000
max_requests_jitter = 200
limit_request_line = 4094
loglevel = "warning"
logconfig_dict = gunicorn_config(form=os.environ.get("LOG_FORMAT") or "line", level="WARNING")
proc_name = "portal-web"
share_counters(Path(os.environ.get("VAR_DIR") or "var").resolve() / "metrics")
