"""gunicorn behind nginx: a process for each core this machine gives us, four threads each, on loopback."""

import os
from pathlib import Path

from pneumo_site.logs import gunicorn_config
from pneumo_site.process_metrics import share_counters
from pneumo_site.web_processes import child_exit, when_ready  # noqa: F401 - for gunicorn

# Where nginx is on another machine: PORTAL_BIND=10.0.2.10:5001 and FORWARDED_ALLOW_IPS=its address.
bind = os.environ.get("PORTAL_BIND") or "127.0.0.1:5001"
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS") or "127.0.0.1"
workers = int(os.environ.get("WEB_CONCURRENCY") or max(2, len(os.sched_getaffinity(0))))
threads = 4
worker_class = "gthread"
worker_tmp_dir = "/dev/shm"  # noqa: S108 - a file in memory that the arbiter watches
timeout = 30
graceful_timeout = 30
keepalive = 75  # longer than nginx keeps an idle connection to us, so that it never sends into one that we close
max_requests = 2000
max_requests_jitter = 200
limit_request_line = 4094
loglevel = "warning"
logconfig_dict = gunicorn_config(form=os.environ.get("LOG_FORMAT") or "json", level="WARNING")
proc_name = "portal-web"
share_counters(Path(os.environ.get("VAR_DIR") or "var").resolve() / "metrics")
