#!/bin/sh
# Debian packages of the integration tests. As root on Debian they are installed when missing; elsewhere the tests that need
# them are skipped and say so.
set -eu

missing=""
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v nginx >/dev/null 2>&1 || missing="$missing nginx-light"
command -v envsubst >/dev/null 2>&1 || missing="$missing gettext-base"
command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
[ -n "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || missing="$missing postgresql"
[ -e /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 ] || [ -e /usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1 ] ||
    missing="$missing libfaketime"
command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
command -v prometheus-node-exporter >/dev/null 2>&1 || missing="$missing prometheus-node-exporter"
for exporter in nginx redis postgres blackbox; do
    command -v "prometheus-$exporter-exporter" >/dev/null 2>&1 || missing="$missing prometheus-$exporter-exporter"
done
command -v amtool >/dev/null 2>&1 || missing="$missing prometheus-alertmanager"
[ -z "${CLEAN_DEBIAN:-}" ] || command -v debootstrap >/dev/null 2>&1 || missing="$missing debootstrap"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing$missing …"
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Not installed:$missing. The tests that need them will be skipped."
fi
