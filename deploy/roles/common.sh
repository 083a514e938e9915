# What install.sh and the roles beside it share; to be sourced, after `set -euo pipefail`.
# shellcheck shell=bash

SETTINGS=/etc/portal

say() { echo "install: $*"; }
fail() {
    echo "install: $*" >&2
    exit 1
}

value_of() { # NAME [FILE]: the value as systemd would read it, or nothing
    local line
    line=$(sed -n "s/^$1=//p" "${2:-$SETTINGS/portal.env}" 2>/dev/null | tail -n 1)
    line=${line#[\"\']}
    printf '%s' "${line%[\"\']}"
}

secret_of() { # NAME: from its file, or as it stands in the settings
    local file
    file=$(value_of "$1_FILE")
    if [ -n "$file" ]; then cat "$file"; else value_of "$1"; fi
}

certificate() { # CERTIFICATE fullchain.pem
    local path
    path=$(value_of "$1")
    printf '%s' "${path:-$SETTINGS/tls/$2}"
}

systemd_runs() { [ -d /run/systemd/system ]; }

is_installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

install_debian() { # PACKAGE…: those that are not there yet
    local package missing=()
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "Debian packages: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

check_system() { # the words of the command line
    [ "$(id -u)" = 0 ] || fail "Only root can install. Run: sudo $SOURCE/deploy/install.sh $*"
    # shellcheck disable=SC1091 # the system's
    case "$(. /etc/os-release 2>/dev/null && echo "${ID:-}-${VERSION_ID:-}")" in
        debian-12) ;;
        *) fail "This is not Debian 12, the only system that this script knows. Nothing was changed." ;;
    esac
    command -v systemctl >/dev/null || fail "This system has no systemd, which runs the services. Nothing was changed."
}

render_nginx() { # FOLDER of a release: the settings that nginx shares with the portal, then nginx.env's
    local name value variables=()
    for name in TRUSTED_PROXIES MONITORING UPSTREAMS LOCAL_FILMS_BY_PROXY SERVER_NAME UI_UPSTREAM APPLICATION_UPSTREAM; do
        value=$(value_of $name)
        if [ -n "$value" ]; then variables+=("$name=$value"); fi
    done
    value=$(value_of ALLOWED_HOSTS)
    if [ -z "$(value_of SERVER_NAME)" ]; then variables+=("SERVER_NAME=${value%%,*}"); fi
    value=$(value_of MEDIA_DIR)
    variables+=("FILMS_DIR=${value:-/var/lib/portal/media}" "STATIC_ROOT=/var/lib/portal/static")
    variables+=("CERTIFICATE=$(certificate CERTIFICATE fullchain.pem)" "CERTIFICATE_KEY=$(certificate CERTIFICATE_KEY privkey.pem)")
    if [ -f "$SETTINGS/nginx.env" ]; then mapfile -t -O "${#variables[@]}" variables < <(grep -E '^[A-Z_]+=' "$SETTINGS/nginx.env"); fi
    env "${variables[@]}" sh "$1/deploy/nginx/render.sh"
}

put_nginx() { # FOLDER of a release, HOW to take it up: the configuration, once nginx has said that it would take it
    local file=/etc/nginx/nginx.conf
    render_nginx "$1" >"$file.new"
    nginx -t -q -c "$file.new" || fail "nginx does not take what was made for it: $file.new. The one in service stays."
    [ -e "$file.debian" ] || cp -p "$file" "$file.debian"
    mv -T "$file.new" "$file"
    if systemd_runs; then
        systemctl enable --quiet nginx
        systemctl "$2" nginx
    fi
}

lock() {
    exec 9>/run/lock/portal-install
    flock -n 9 || fail "Another run of this script is going on."
}
