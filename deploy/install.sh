#!/bin/bash
# Brings a fresh Debian 12 machine into a role, and from one release to the next.
#
#   install.sh web|worker|all        install the release that this script lies in
#   install.sh frontend|monitoring   nginx alone before web machines; Prometheus and what belongs to it
#   install.sh ROLE --check          only look whether that would work
#   install.sh --upgrade TARBALL     another release beside this one: migrate, restart one by one, test, or go back
#   install.sh --rollback            the release before
#
# Everything is looked at first, and nothing is changed where something is wrong. Running it again does no harm.
set -euo pipefail
umask 022

BASE=/opt/portal
RELEASES=$BASE/releases
VENVS=$BASE/venvs
STATE=/var/lib/portal
UNITS=/etc/systemd/system
SPACE_KB=$((5 * 1024 * 1024)) # for the libraries
READY_SECONDS=180             # until a worker has loaded the model
SOURCE=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=deploy/roles/common.sh
. "$SOURCE/deploy/roles/common.sh"

usage() {
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 1
}

# --- What the settings say -------------------------------------------------------------------------------------------

needs_web() { [ "$1" = web ] || [ "$1" = all ]; }
needs_worker() { [ "$1" = worker ] || [ "$1" = all ]; }
makes_backups() { needs_web "$1" && [ -n "$(value_of BACKUP_TARGET)" ]; }

workers() { # one a GPU, else one
    local count=0
    if command -v nvidia-smi >/dev/null 2>&1; then count=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU' || true); fi
    seq 0 $((count > 1 ? count - 1 : 0))
}

services() { # ROLE: in the order in which they are restarted
    if needs_web "$1"; then echo portal-reconcile.service; fi
    if needs_worker "$1"; then workers | sed 's/.*/portal-worker@&.service/'; fi
    if needs_web "$1"; then echo portal-web.service; fi
}

version_of() { # FOLDER
    sed -n 's/^version = "\([0-9A-Za-z.+-]*\)"$/\1/p' "$1/pyproject.toml" | head -n 1
}

# --- Checks: they change nothing -------------------------------------------------------------------------------------

check_machine() {
    check_system "$@"
    local part
    for part in "$RELEASES"/*.part; do
        [ ! -e "$part" ] || fail "An earlier run stopped in the middle. Run: rm -rf $part - then this again. Nothing was changed."
    done
}

check_settings() { # ROLE
    local name file problems=()
    [ -f "$SETTINGS/portal.env" ] || fail "$SETTINGS/portal.env is missing: docs/installation.md says what it holds. Nothing was changed."
    [ "$(value_of PORTAL_PROFILE)" = production ] || problems+=("PORTAL_PROFILE=production is not there")
    [ "$(value_of VAR_DIR)" = "$STATE" ] || problems+=("VAR_DIR=$STATE is not there")
    for name in SECRET_KEY AUDIT_KEY DATABASE_URL REDIS_URL; do
        file=$(value_of "${name}_FILE")
        if [ -n "$file" ]; then
            [ -s "$file" ] || problems+=("${name}_FILE names $file, which is missing or empty")
        elif [ -z "$(value_of "$name")" ]; then
            problems+=("$name or ${name}_FILE is not there")
        fi
    done
    [ -n "$(value_of ALLOWED_HOSTS)" ] || problems+=("ALLOWED_HOSTS is not there")
    if needs_web "$1"; then
        for file in "$(certificate CERTIFICATE fullchain.pem)" "$(certificate CERTIFICATE_KEY privkey.pem)"; do
            [ -s "$file" ] || problems+=("the certificate $file is missing")
        done
    fi
    if makes_backups "$1"; then
        file=$(value_of BACKUP_KEY_FILE)
        [ -n "$file" ] && [ -f "$file" ] && [ -s "$file" ] || problems+=("BACKUP_KEY_FILE names ${file:-no file}, which is missing or empty")
    fi
    [ ${#problems[@]} = 0 ] && return
    printf 'install: %s/portal.env: %s.\n' "$SETTINGS" "${problems[@]}" >&2
    fail "Put that right, then run this again. Nothing was changed."
}

check_space() { # FOLDER of a release
    [ ! -e "$(venv_of "$1")/.complete" ] || return 0
    local above=$BASE
    while [ ! -d "$above" ]; do above=$(dirname "$above"); done
    [ "$(df -Pk "$above" | awk 'NR == 2 {print $4}')" -ge $SPACE_KB ] ||
        fail "$BASE needs $((SPACE_KB / 1024 / 1024)) GB free for the libraries. Nothing was changed."
}

check_release() { # FOLDER
    local file
    for file in manage.py requirements.txt deploy/systemd/portal-web.service deploy/gunicorn/production.py; do
        [ -f "$1/$file" ] || fail "$1 is no release of the portal: $file is missing. Nothing was changed."
    done
    [ -n "$(version_of "$1")" ] || fail "$1/pyproject.toml names no version. Nothing was changed."
}

# --- Steps -----------------------------------------------------------------------------------------------------------

install_packages() { # ROLE
    local wanted=(python3.11 python3.11-venv ca-certificates)
    if needs_web "$1"; then wanted+=(gettext-base); fi
    if needs_web "$1" && ! command -v nginx >/dev/null; then wanted+=(nginx-light); fi
    if makes_backups "$1" && ! command -v pg_dump >/dev/null; then wanted+=(postgresql-client); fi
    install_debian "${wanted[@]}"
}

make_user() {
    getent passwd portal >/dev/null ||
        useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin portal
    install -d -m 0755 "$BASE" "$RELEASES" "$VENVS"
    getent group portal-proxy >/dev/null || groupadd --system portal-proxy
    install -d -m 0711 -o portal -g portal "$STATE"
    # What nginx sends: static files, and films on the portal's word. New files inherit the group; nothing else is nginx's to read.
    install -d -m 2750 -o portal -g portal-proxy "$STATE/media" "$STATE/static"
    install -d -m 0700 -o portal -g portal "$STATE/mail"
    # systemd and `portal` read the settings as root; the services read their secrets themselves, nginx neither.
    chown root:root "$SETTINGS/portal.env" && chmod 0600 "$SETTINGS/portal.env"
    chmod go-w "$SETTINGS" && chmod go+x "$SETTINGS"
    if [ -f "$SETTINGS/smoke.env" ]; then chmod 0600 "$SETTINGS/smoke.env"; fi
    if [ -d "$SETTINGS/secrets" ]; then
        chown -R portal:portal "$SETTINGS/secrets"
        find "$SETTINGS/secrets" -type d -exec chmod 0700 {} + -o -type f -exec chmod 0600 {} +
    fi
}

venv_of() { # FOLDER of a release: releases that need the same libraries share them
    printf '%s/%s' "$VENVS" "$(sha256sum "$1/requirements.txt" | cut -c-16)"
}

make_venv() { # FOLDER
    local venv
    venv=$(venv_of "$1")
    [ ! -e "$venv/.complete" ] || return 0
    say "libraries, about 2 GB, into $venv"
    rm -rf "$venv"
    python3.11 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --only-binary :all: \
        --require-hashes -r "$1/requirements.txt"
    touch "$venv/.complete"
}

copy_release() { # FOLDER: beside the others, whole or not at all
    local version target
    version=$(version_of "$1") target=$RELEASES/$(version_of "$1")
    if [ -d "$target" ]; then return; fi
    make_venv "$1"
    say "release $version into $target"
    mkdir "$target.part"
    tar -C "$1" --exclude=./.git --exclude=./.venv --exclude=./var --exclude=./build --exclude=__pycache__ -cf - . |
        tar -C "$target.part" --no-same-owner -xf -
    chmod -R u=rwX,go=rX "$target.part"
    ln -s "$(venv_of "$1")" "$target.part/.venv"
    "$target.part/.venv/bin/python" -m compileall -q -s "$target.part" -p "$target" \
        "$target.part"/{accounts,diagnostics,mlmodel,pneumo_site} >/dev/null
    mv -T "$target.part" "$target"
}

migrate() { # VERSION
    say "database, cache table, static files of $1"
    PORTAL_RELEASE=$RELEASES/$1 bash "$RELEASES/$1/deploy/manage.sh" prepare
}

switch_to() { # VERSION: in one step, so that a process that starts meanwhile finds one release or the other
    local now
    now=$(basename "$(readlink "$BASE/current" 2>/dev/null)" 2>/dev/null || true)
    if [ "$now" = "$1" ]; then return; fi
    if [ -n "$now" ]; then ln -sfn "releases/$now" "$BASE/previous"; fi
    ln -sfn "releases/$1" "$BASE/.next"
    mv -T "$BASE/.next" "$BASE/current"
}

install_units() { # ROLE
    local unit
    install -d "$UNITS/portal-.service.d"
    install -m 0644 "$BASE"/current/deploy/systemd/*.{service,timer} "$UNITS/"
    install -m 0644 "$BASE"/current/deploy/systemd/portal-.service.d/*.conf "$UNITS/portal-.service.d/"
    install -m 0755 "$BASE/current/deploy/manage.sh" /usr/local/bin/portal
    if makes_backups "$1"; then bash "$BASE/current/deploy/backup/permit.sh" "$(value_of BACKUP_TARGET)"; fi
    if systemd_runs; then systemctl daemon-reload; fi
    for unit in $(services "$1"); do systemctl enable --quiet "$unit"; done
    if needs_web "$1"; then systemctl enable --quiet portal-purge.timer; fi
    if makes_backups "$1"; then systemctl enable --quiet portal-backup.timer; fi
}

install_nginx() {
    local how=reload-or-restart
    if ! id -nG www-data | grep -qw portal-proxy; then
        usermod -a -G portal-proxy www-data
        how=restart # a new group needs a new process
    fi
    put_nginx "$BASE/current" "$how"
}

restart_all() { # ROLE: one by one, each only once the one before is up
    local unit
    if ! systemd_runs; then
        say "systemd does not run here: the units are enabled, and start with the machine"
        return
    fi
    for unit in $(services "$1"); do
        say "restarting $unit"
        systemctl restart "$unit"
        systemctl is-active --quiet "$unit"
    done
    if needs_web "$1"; then systemctl start portal-purge.timer; fi
    if makes_backups "$1"; then systemctl start portal-backup.timer; fi
}

test_installation() { # ROLE: false where the portal does not do its work
    systemd_runs || return 0
    needs_web "$1" || return 0
    local end=$((SECONDS + READY_SECONDS))
    until portal_answers; do
        [ $SECONDS -lt $end ] || { say "the portal is not ready after $READY_SECONDS s"; return 1; }
        sleep 2
    done
    if [ ! -f "$SETTINGS/smoke.env" ]; then
        say "ready; without $SETTINGS/smoke.env (SMOKE_URL, SMOKE_EMAIL, SMOKE_PASSWORD) no film was sent"
        return 0
    fi
    local variables
    mapfile -t variables < <(grep -E '^SMOKE_[A-Z_]+=' "$SETTINGS/smoke.env")
    env "${variables[@]}" python3.11 "$BASE/current/deploy/smoke.py" "$(value_of SMOKE_URL "$SETTINGS/smoke.env")"
}

portal_answers() { # gunicorn, by its own address
    local bind host
    bind=$(value_of PORTAL_BIND) host=$(value_of ALLOWED_HOSTS)
    python3.11 - "http://${bind:-127.0.0.1:5001}/readyz" "${host%%,*}" <<'END' 2>/dev/null
import sys, urllib.request
urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={"Host": sys.argv[2]}), timeout=10)
END
}

# --- The ways through --------------------------------------------------------------------------------------------------

apply_release() { # VERSION ROLE: by the release's own script, and in a shell of its own, which ends at the first error
    bash "$RELEASES/$1/deploy/install.sh" --apply "$1" "$2"
}

apply() { # VERSION ROLE
    migrate "$1"
    go_to "$1" "$2"
    test_installation "$2"
}

go_to() { # VERSION ROLE
    switch_to "$1"
    install_units "$2"
    if needs_web "$2"; then install_nginx; fi
    restart_all "$2"
}

install_role() { # ROLE
    install_packages "$1"
    make_user
    copy_release "$SOURCE"
    echo "$1" >"$BASE/role"
    apply_release "$(version_of "$SOURCE")" "$1" || fail "The portal does not work yet; the lines above say why. Then run this again."
    say "$1 is installed, release $(version_of "$SOURCE"). Next: portal doctor"
}

installed_role() {
    { [ -f "$BASE/role" ] && [ -L "$BASE/current" ]; } || fail "Nothing is installed here. Run: $0 web|worker|all"
    cat "$BASE/role"
}

upgrade() { # TARBALL
    local role folder version before
    role=$(installed_role)
    before=$(basename "$(readlink "$BASE/current")")
    [ -f "$1" ] || fail "There is no $1."
    folder=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder is known now
    trap "rm -rf '$folder'" EXIT
    tar -C "$folder" --strip-components=1 -xf "$1" || fail "$1 cannot be unpacked. Nothing was changed."
    check_release "$folder"
    check_settings "$role"
    check_space "$folder"
    version=$(version_of "$folder")
    [ ! -d "$RELEASES/$version" ] || [ "$version" != "$before" ] || fail "Release $version is in service already. Nothing was changed."
    install_packages "$role"
    copy_release "$folder"
    if apply_release "$version" "$role"; then
        say "release $version is in service; $before is kept. Back: $0 --rollback"
        return
    fi
    say "release $version does not do its work: going back to $before"
    go_to "$before" "$role" # no migration is undone: each leaves the release before it able to work
    fail "Release $before is in service again; $version lies in $RELEASES/$version."
}

rollback() {
    local role version
    role=$(installed_role)
    version=$(basename "$(readlink "$BASE/previous" 2>/dev/null)" 2>/dev/null || true)
    { [ -n "$version" ] && [ -d "$RELEASES/$version" ]; } || fail "There is no release before this one. Nothing was changed."
    go_to "$version" "$role" # no migration is undone: each leaves the release before it able to work
    test_installation "$role" || fail "Release $version is in service and does not do its work either."
    say "release $version is in service"
}

main() {
    case "${1:-}" in
        monitoring | frontend)
            [ $# = 1 ] || [ "${2:-}" = --check ] || usage
            exec bash "$SOURCE/deploy/roles/$1.sh" "${@:2}"
            ;;
        web | worker | all)
            check_machine "$@"
            check_release "$SOURCE"
            check_settings "$1"
            check_space "$SOURCE"
            if [ "${2:-}" = --check ]; then
                say "everything is there for the role $1"
                exit 0
            fi
            [ $# = 1 ] || usage
            lock
            install_role "$1"
            ;;
        --upgrade)
            [ $# = 2 ] || usage
            check_machine "$@"
            lock
            upgrade "$2"
            ;;
        --apply) # a step of --upgrade and of a role, under their lock
            apply "$2" "$3"
            ;;
        --rollback)
            [ $# = 1 ] || usage
            check_machine "$@"
            lock
            rollback
            ;;
        *) usage ;;
    esac
}

main "$@"
