#!/bin/bash
# First start of a machine of the stack, called by its user data from the unpacked release: Session Manager, secrets,
# /etc/portal/portal.env, then install.sh in the machine's role. Tells CloudFormation how it ended. May be run again.
set -euo pipefail
umask 077

readonly HERE=${BASH_SOURCE[0]%/*}
readonly ROOT=${BOOTSTRAP_ROOT:-} # another root in tests
readonly SETTINGS=$ROOT/etc/portal/portal.env
readonly SECRET_DIR=$ROOT/etc/portal/secrets
readonly TLS_DIR=$ROOT/etc/portal/tls
readonly DATABASE_AUTHORITY=$ROOT/etc/portal/rds.pem

# shellcheck source=/dev/null # written by the user data
. "$ROOT/etc/portal/bootstrap.env"
export AWS_DEFAULT_REGION

metadata() {
    local token
    token=$(curl -fsS -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" http://169.254.169.254/latest/api/token)
    curl -fsS -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}

tell_cloudformation() {
    local status=SUCCESS
    [ "$1" = 0 ] || status=FAILURE
    aws cloudformation signal-resource --stack-name "$STACK" --logical-resource-id Machines \
        --unique-id "$(metadata instance-id)" --status "$status" || echo "bootstrap: nobody waits for this machine's signal"
}

install_session_manager() {
    ! systemctl is-active --quiet amazon-ssm-agent || return 0
    local package=$ROOT/root/amazon-ssm-agent.deb
    curl -fsS -o "$package" "https://s3.$AWS_DEFAULT_REGION.amazonaws.com/amazon-ssm-$AWS_DEFAULT_REGION/latest/debian_amd64/amazon-ssm-agent.deb"
    dpkg -i "$package"
    systemctl enable --now amazon-ssm-agent
}

claim_address() {
    [ -n "$ADDRESS" ] || return 0
    aws ec2 associate-address --allocation-id "$ADDRESS" --instance-id "$(metadata instance-id)" --allow-reassociation >/dev/null
}

claim_name() {
    [ -n "$ZONE" ] || return 0
    aws route53 change-resource-record-sets --hosted-zone-id "$ZONE" --change-batch "{\"Changes\": [{\"Action\": \"UPSERT\",
        \"ResourceRecordSet\": {\"Name\": \"$PORTAL_GROUP.portal.internal\", \"Type\": \"A\", \"TTL\": 15,
        \"ResourceRecords\": [{\"Value\": \"$(metadata local-ipv4)\"}]}}]}" >/dev/null
}

fetch_secret() {
    aws secretsmanager get-secret-value --secret-id "$1" --query SecretString --output text
}

# One member of a JSON object on standard input.
member() {
    python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

# A secret NAME becomes a file, and the line NAME_FILE=path in portal.env.
keep_secret() {
    printf '%s' "$2" >"$SECRET_DIR/$1"
    echo "$1_FILE=$SECRET_DIR/$1"
}

write_secret() {
    local name=$1 value login
    value=$(fetch_secret "$2")
    case $name in
    DATABASE)
        login=$(member username <<<"$value"):$(member password <<<"$value")
        keep_secret DATABASE_URL "postgresql://$login@$DATABASE_HOST:5432/portal"
        ;;
    REDIS) keep_secret REDIS_URL "rediss://:$value@$REDIS_HOST:6379/0" ;;
    SETTINGS) printf '%s\n' "$value" ;;
    TLS)
        member certificate <<<"$value" >"$TLS_DIR/cert.pem"
        member key <<<"$value" >"$TLS_DIR/key.pem"
        ;;
    *) keep_secret "$name" "$value" ;;
    esac
}

write_secrets() {
    local pair
    for pair in $SECRETS; do
        [ -z "${pair#*=}" ] || write_secret "${pair%%=*}" "${pair#*=}"
    done
}

# Behind the front end the machines show a certificate of their own; who connects checks addresses, not names.
make_certificate() {
    [ ! -s "$TLS_DIR/cert.pem" ] || return 0
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=$PORTAL_GROUP.portal.internal" \
        -keyout "$TLS_DIR/key.pem" -out "$TLS_DIR/cert.pem" 2>/dev/null
}

portal_settings() {
    # A load balancer's health check names the machine's address as the host.
    cat <<END
PORTAL_PROFILE=production
PORTAL_GROUP=$PORTAL_GROUP
VAR_DIR=/var/lib/portal
SERVER_NAME=$HOSTNAME_PUBLIC
TRUSTED_PROXIES=$PROXY_CIDR
MONITORING="127.0.0.1 $PROXY_CIDR"
METRICS_ADDRESS=0.0.0.0
ALLOWED_HOSTS=$HOSTNAME_PUBLIC,$(metadata local-ipv4)
CSRF_TRUSTED_ORIGINS=https://$HOSTNAME_PUBLIC
CERTIFICATE=$TLS_DIR/cert.pem
CERTIFICATE_KEY=$TLS_DIR/key.pem
END
    case $INSTALL_ROLE in
    frontend) printf '%s\n' UI_UPSTREAM=ui.portal.internal:443 APPLICATION_UPSTREAM=application.portal.internal:443 ;;
    web | worker) printf '%s\n' STORAGE_BACKEND=s3 "S3_BUCKET=$FILMS" "S3_REGION=$AWS_DEFAULT_REGION" "S3_KMS_KEY_ID=$KEY_ARN" ;;
    esac
    [ "$INSTALL_ROLE" != worker ] || echo WORKER_RECONCILES=true
    # libpq reads these itself: the database's certificate and name are checked, not only its word that it encrypts.
    printf '%s\n' PGSSLMODE=verify-full "PGSSLROOTCERT=$DATABASE_AUTHORITY"
}

install_publisher() {
    install -D -m 0755 "$HERE/publish-metrics.sh" "$ROOT/usr/local/lib/portal/publish-metrics.sh"
    cat >"$ROOT"/etc/systemd/system/portal-metrics.service <<'END'
[Unit]
Description=Disk use, and on the monitoring host the oldest waiting case, for CloudWatch
[Service]
Type=oneshot
EnvironmentFile=/etc/portal/bootstrap.env
ExecStart=/usr/local/lib/portal/publish-metrics.sh
END
    cat >"$ROOT"/etc/systemd/system/portal-metrics.timer <<'END'
[Unit]
Description=Every minute
[Timer]
OnCalendar=*:*:00
AccuracySec=5s
[Install]
WantedBy=timers.target
END
    systemctl daemon-reload
    systemctl enable --now portal-metrics.timer
}

trap 'tell_cloudformation $?' EXIT
install_session_manager
install -d -m 0700 "$SECRET_DIR" "$TLS_DIR"
install -m 0644 /dev/null "$DATABASE_AUTHORITY" # the services read it, who are not root
curl -fsS -o "$DATABASE_AUTHORITY" https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem
{ portal_settings && write_secrets; } >"$SETTINGS.new"
mv "$SETTINGS.new" "$SETTINGS"
make_certificate
"$HERE/../install.sh" "$INSTALL_ROLE"
claim_name
claim_address
install_publisher
