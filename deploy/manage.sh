#!/bin/bash
# manage.py of the release in service, as the user `portal` with the settings of the services: `portal doctor`.
# install.sh puts it at /usr/local/bin/portal. PORTAL_RELEASE names another release's folder.
set -euo pipefail

settings=/etc/portal/portal.env
release=${PORTAL_RELEASE:-/opt/portal/current}

[ "$(id -u)" = 0 ] || { echo "Run this as root: sudo portal $*" >&2; exit 1; }
[ -r "$settings" ] || { echo "$settings cannot be read." >&2; exit 1; }

# As systemd reads it: NAME=value, quotes around the whole value, comments on lines of their own.
while IFS= read -r line || [ -n "$line" ]; do
    [[ $line =~ ^([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]] || continue
    name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]] && value=${BASH_REMATCH[1]}
    export "$name=$value"
done <"$settings"

cd "$release"
umask 0027
exec runuser -u portal -- .venv/bin/python manage.py "$@"
