#!/bin/bash
# The role `frontend` of install.sh: nginx alone, before web machines that stand apart. It holds no film, no secret but its
# certificate, and no program of the portal but the page for maintenance.
set -euo pipefail
umask 022

SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
KEPT=/opt/portal/frontend # what nginx reads while it runs
# shellcheck source=deploy/roles/common.sh
. "$SOURCE/deploy/roles/common.sh"

check_settings() {
    local name file problems=()
    [ -f "$SETTINGS/portal.env" ] || fail "$SETTINGS/portal.env is missing: docs/installation.md says what it holds. Nothing was changed."
    for name in UI_UPSTREAM APPLICATION_UPSTREAM; do
        [ -n "$(value_of $name)" ] || problems+=("$name is not there")
    done
    [ -n "$(value_of SERVER_NAME)$(value_of ALLOWED_HOSTS)" ] || problems+=("SERVER_NAME is not there")
    for file in "$(certificate CERTIFICATE fullchain.pem)" "$(certificate CERTIFICATE_KEY privkey.pem)"; do
        [ -s "$file" ] || problems+=("the certificate $file is missing")
    done
    [ ${#problems[@]} = 0 ] && return
    printf 'install: %s/portal.env: %s.\n' "$SETTINGS" "${problems[@]}" >&2
    fail "Put that right, then run this again. Nothing was changed."
}

check_system frontend "$@"
check_settings
if [ "${1:-}" = --check ]; then
    say "everything is there for the role frontend"
    exit 0
fi
lock
install_debian gettext-base ca-certificates
command -v nginx >/dev/null || install_debian nginx-light
install -d -m 0755 "$KEPT/deploy/nginx"
install -m 0644 "$SOURCE"/deploy/nginx/* "$KEPT/deploy/nginx/"
put_nginx "$KEPT" reload-or-restart
say "frontend is installed"
