#!/bin/bash
# Every minute on every machine: how full its fullest disk is; on the monitoring host also how long the oldest case has waited,
# asked of Prometheus. Without an answer nothing is published, and CloudWatch raises the alarm for missing data.
set -euo pipefail

readonly NAMESPACE=ChestXrayPortal
readonly QUERY=${OLDEST_WAITING_QUERY:-max(portal_oldest_waiting_seconds)}
export AWS_DEFAULT_REGION

put() {
    aws cloudwatch put-metric-data --namespace "$NAMESPACE" "$@"
}

fullest_disk() {
    df --local --output=pcent -x tmpfs -x devtmpfs -x overlay -x squashfs | tr -dc '0-9\n' | sort -n | tail -n 1
}

oldest_waiting() {
    curl -fsS --max-time 10 --get --data-urlencode "query=$QUERY" "${PROMETHEUS_URL:-http://127.0.0.1:9090}/api/v1/query" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["result"][0]["value"][1])'
}

used=$(fullest_disk) # an assignment, so that a failure ends the script before it publishes nothing as a number
put --metric-name DiskUsedPercent --unit Percent --dimensions "Group=$PORTAL_GROUP" --value "$used"
if [ "$PORTAL_GROUP" = monitoring ]; then
    waiting=$(oldest_waiting)
    put --metric-name OldestWaitingSeconds --unit Seconds --value "$waiting"
fi
