#!/bin/bash
# permit.sh TARGET: what the hardened unit may write to, and where node exporter finds when a backup succeeded. install.sh calls it.
set -euo pipefail
umask 022

target=$1 own=/etc/systemd/system/portal-backup.service.d state=/var/lib/portal collected=/var/lib/prometheus/node-exporter

install -d "$own"
case "$target" in
    /*) printf '[Unit]\nRequiresMountsFor="%s"\n[Service]\nReadWritePaths="-%s"\n' "$target" "$target" >"$own/target.conf" ;;
    *) rm -f "$own/target.conf" ;;
esac
install -d -m 0755 -o portal -g portal "$state/metrics"
if [ -d "$collected" ]; then ln -sfn "$state/metrics/portal_backup.prom" "$collected/portal_backup.prom"; fi
