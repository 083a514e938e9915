#!/bin/bash
# The role `monitoring` of install.sh: Prometheus, Alertmanager and the exporters of Debian, with the portal's rules; Grafana where
# apt has it. What names the machines and the people (targets, alertmanager.yml) is put there once, and is the operator's then.
set -euo pipefail
umask 022

SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
PROMETHEUS=/etc/prometheus
DASHBOARDS=/var/lib/grafana/dashboards/portal
PACKAGES=(prometheus prometheus-alertmanager prometheus-node-exporter prometheus-nginx-exporter prometheus-redis-exporter
    prometheus-postgres-exporter prometheus-blackbox-exporter)
# shellcheck source=deploy/roles/common.sh
. "$SOURCE/deploy/roles/common.sh"

put_once() { # FILE TARGET: Debian's own gives way the first time, and is kept
    [ ! -e "$2.debian" ] || return 0
    if [ -e "$2" ]; then cp -p "$2" "$2.debian"; else touch "$2.debian"; fi
    install -m 0644 "$1" "$2"
}

keep_for_prometheus() { # NAME: the secret on standard input, for that user alone
    install -m 0400 -o prometheus -g prometheus /dev/stdin "$PROMETHEUS/$1"
}

put_prometheus() {
    local file
    put_once "$SOURCE/deploy/prometheus/prometheus.yml" "$PROMETHEUS/prometheus.yml"
    install -d -m 0755 "$PROMETHEUS/rules" "$PROMETHEUS/targets"
    install -m 0644 "$SOURCE"/deploy/prometheus/rules/*.yml "$PROMETHEUS/rules/"
    for file in "$SOURCE"/deploy/prometheus/targets/*.yml; do
        [ -e "$PROMETHEUS/targets/${file##*/}" ] || install -m 0644 "$file" "$PROMETHEUS/targets/"
    done
    secret_of METRICS_TOKEN | keep_for_prometheus metrics_token
    promtool check config "$PROMETHEUS/prometheus.yml" >/dev/null || fail "Prometheus does not take $PROMETHEUS/prometheus.yml."
}

put_alertmanager() {
    put_once "$SOURCE/deploy/alertmanager/alertmanager.yml" "$PROMETHEUS/alertmanager.yml"
    install -m 0644 "$SOURCE/deploy/alertmanager/portal.tmpl" "$PROMETHEUS/portal.tmpl"
    if [ ! -e "$PROMETHEUS/smtp_password" ]; then keep_for_prometheus smtp_password </dev/null; fi
    if grep -q hospital.example "$PROMETHEUS/alertmanager.yml"; then
        say "nobody is told yet: name the mail server and the addresses in $PROMETHEUS/alertmanager.yml, the password in smtp_password"
    fi
}

put_exporter() { # EXPORTER LINE: what it is told at its start, unless an operator has said otherwise
    local file=/etc/default/prometheus-$1-exporter
    if [ -e "$file.debian" ]; then return; fi
    if [ -e "$file" ]; then cp -p "$file" "$file.debian"; else touch "$file.debian"; fi
    printf '%s\n' "$2" | install -m 0600 /dev/stdin "$file"
}

put_exporters() {
    put_exporter nginx 'ARGS="-nginx.scrape-uri=http://127.0.0.1:8081/status"'
    if [ -n "$(secret_of REDIS_URL)" ]; then put_exporter redis "REDIS_ADDR=\"$(secret_of REDIS_URL)\""; fi
    if [ -n "$(secret_of DATABASE_URL)" ]; then put_exporter postgres "DATA_SOURCE_NAME=\"$(secret_of DATABASE_URL)\""; fi
}

put_grafana() {
    install -d -m 0755 /etc/grafana/provisioning/datasources /etc/grafana/provisioning/dashboards "$DASHBOARDS"
    install -d -m 0755 /etc/systemd/system/grafana-server.service.d
    install -m 0644 "$SOURCE"/deploy/grafana/provisioning/datasources/* /etc/grafana/provisioning/datasources/
    install -m 0644 "$SOURCE"/deploy/grafana/provisioning/dashboards/* /etc/grafana/provisioning/dashboards/
    install -m 0644 "$SOURCE"/deploy/grafana/dashboards/*.json "$DASHBOARDS/"
    printf '[Service]\nEnvironment=PROMETHEUS_URL=http://127.0.0.1:9090\n' >/etc/systemd/system/grafana-server.service.d/portal.conf
    if is_installed grafana; then return; fi
    if [ -n "$(apt-cache madison grafana 2>/dev/null)" ]; then
        install_debian grafana
    else
        say "Grafana is not in Debian: add its maker's package (grafana.com/docs), then run this again; data source and dashboards are in place"
    fi
}

start_all() {
    local unit
    for unit in "${PACKAGES[@]}" grafana-server; do
        if [ "$unit" = grafana-server ] && ! is_installed grafana; then continue; fi
        systemctl enable --quiet "$unit"
        if systemd_runs; then systemctl restart "$unit"; fi
    done
}

check_system monitoring "$@"
[ -n "$(secret_of METRICS_TOKEN 2>/dev/null)" ] ||
    fail "METRICS_TOKEN or METRICS_TOKEN_FILE is not in $SETTINGS/portal.env: the portal's own, or nothing can be read. Nothing was changed."
if [ "${1:-}" = --check ]; then
    say "everything is there for the role monitoring"
    exit 0
fi
lock
install_debian "${PACKAGES[@]}"
put_prometheus
put_alertmanager
put_exporters
put_grafana
if systemd_runs; then systemctl daemon-reload; fi
start_all
say "monitoring is installed; the machines that it reads stand in $PROMETHEUS/targets/*.yml"
