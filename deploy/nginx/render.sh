#!/bin/sh
# Prints nginx's configuration: `render.sh >/etc/nginx/nginx.conf`. What can be set is an environment variable of the name in
# front of its value below; SERVER_NAME, CERTIFICATE and CERTIFICATE_KEY have no default. `envsubst` is in gettext-base.
# shellcheck disable=SC2034 # what looks unused is exported by name at the end
set -eu

here=$(cd "$(dirname "$0")" && pwd)
fail() {
    echo "$1" >&2
    exit 1
}

for name in SERVER_NAME CERTIFICATE CERTIFICATE_KEY; do
    eval "value=\${$name:-}"
    [ -n "$value" ] || fail "$name is not set: nginx needs the portal's host name and its certificate."
done
command -v envsubst >/dev/null 2>&1 || fail "envsubst is missing: apt-get install gettext-base"

# Addresses and ports. UPSTREAMS: where gunicorn listens, more than one where the web machines stand apart.
: "${HTTP_LISTEN:=80}" "${HTTPS_LISTEN:=443}" "${STATUS_PORT:=8081}" "${UPSTREAMS:=127.0.0.1:5001}"
# TRUSTED_PROXIES: load balancers in front, whose X-Forwarded-For holds. MONITORING: who may read /metrics and /readyz.
: "${TRUSTED_PROXIES:=}" "${MONITORING:=127.0.0.1}"
# A front end of its own: UI_UPSTREAM and APPLICATION_UPSTREAM (host:port, over TLS) in place of UPSTREAMS. Their names are looked
# up again all the time (RESOLVER), since a machine that is replaced has another address. Their certificates are their own, and
# nobody checks them: only the front end may reach them (security group, firewall).
: "${UI_UPSTREAM:=}" "${APPLICATION_UPSTREAM:=}" "${RESOLVER:=}"
# Places
: "${NGINX_USER:=www-data}" "${RUN_DIR:=/run}" "${LOG_DIR:=/var/log/nginx}" "${BODY_DIR:=/var/lib/nginx}"
: "${STATIC_ROOT:=/var/lib/portal/static}" "${FILMS_DIR:=/var/lib/portal/media}" "${LOCAL_FILMS_BY_PROXY:=/films/}"
: "${MAINTENANCE_FILE:=/etc/portal/maintenance}" "${PAGES_DIR:=$here}"
# Limits: one film and its form; the rest is of one address.
: "${UPLOAD_BODY_MAX:=65m}" "${CONNECTIONS_PER_ADDRESS:=400}" "${REQUESTS_PER_SECOND:=100}" "${REQUESTS_BURST:=400}"
: "${ADDRESS_LOGINS_PER_MINUTE:=60}" "${LOGINS_BURST:=30}" "${ADDRESS_UPLOADS_PER_MINUTE:=600}" "${UPLOADS_BURST:=200}"

case $LOCAL_FILMS_BY_PROXY in
    /*/) FILMS_LOCATION=$LOCAL_FILMS_BY_PROXY ;;
    *) fail "LOCAL_FILMS_BY_PROXY begins and ends with a slash. Received: $LOCAL_FILMS_BY_PROXY" ;;
esac

# HTTPS_PUBLIC_PORT: as browsers name it, where something in front has another one.
: "${HTTPS_PUBLIC_PORT:=${HTTPS_LISTEN##*:}}"
HTTPS_SUFFIX=""
[ "$HTTPS_PUBLIC_PORT" = 443 ] || HTTPS_SUFFIX=":$HTTPS_PUBLIC_PORT"

# One directive a line for each word of a list.
lines() {
    for word in $2; do
        printf '%s %s;\n' "$1" "$word"
    done
}
SERVERS=$(lines server "$UPSTREAMS")
MONITORS=$(lines allow "$MONITORING" && echo "deny all;")
PORTAL=http://portal
FRONTEND=""
if [ -n "$UI_UPSTREAM$APPLICATION_UPSTREAM" ]; then
    { [ -n "$UI_UPSTREAM" ] && [ -n "$APPLICATION_UPSTREAM" ]; } || fail "UI_UPSTREAM and APPLICATION_UPSTREAM belong together."
    [ -n "$RESOLVER" ] || RESOLVER=$(sed -n 's/^nameserver \([0-9.]*\)$/\1/p' /etc/resolv.conf | head -n 1)
    [ -n "$RESOLVER" ] || fail "RESOLVER is not set, and /etc/resolv.conf names no server."
    PORTAL="https://\$portal_at"
    FRONTEND="
    resolver $RESOLVER valid=15s ipv6=off;
    map \$uri \$portal_at {
        default $UI_UPSTREAM;
        \"~^/(api/|cases/upload/)\" $APPLICATION_UPSTREAM;
    }"
fi
REAL_IP=$(lines set_real_ip_from "$TRUSTED_PROXIES")
[ -z "$REAL_IP" ] || REAL_IP="$REAL_IP
real_ip_header X-Forwarded-For;"

names="SERVER_NAME CERTIFICATE CERTIFICATE_KEY HTTP_LISTEN HTTPS_LISTEN HTTPS_SUFFIX STATUS_PORT SERVERS MONITORS REAL_IP PORTAL FRONTEND \
NGINX_USER RUN_DIR LOG_DIR BODY_DIR STATIC_ROOT FILMS_DIR FILMS_LOCATION MAINTENANCE_FILE PAGES_DIR UPLOAD_BODY_MAX \
CONNECTIONS_PER_ADDRESS REQUESTS_PER_SECOND REQUESTS_BURST ADDRESS_LOGINS_PER_MINUTE LOGINS_BURST ADDRESS_UPLOADS_PER_MINUTE UPLOADS_BURST"
known=""
for name in $names; do
    export "${name?}"
    known="$known \${$name}"
done
envsubst "$known" <"$here/nginx.conf.template"
