"""Every setting of the portal. Each is one environment variable, typed, read here and nowhere else.

Two profiles share one code path: `embedded` (the default: SQLite, files and a private Redis under `var/`, own secrets) and
`production` (PostgreSQL, S3 or a mounted volume, Redis with a password; no default secret, TLS in front).
"""

import re
from datetime import timedelta
from functools import partial
from pathlib import Path

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError

from pneumo_site.databases import database_from_url, redis_from_url, rq_connection, sqlite_database
from pneumo_site.environment import embedded_secret, env, read_secret, refuse_unsafe_production, require_secret, secret_files
from pneumo_site.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
BACKUP_STEPS = {"day": 7, "week": 5, "month": 12}  # of how many the last backup is kept

try:
    PROFILE = env.str("PORTAL_PROFILE", "embedded")
    if PROFILE not in {"embedded", "production"}:
        raise ImproperlyConfigured(f"PORTAL_PROFILE is embedded or production. Received: {PROFILE!r}")
    EMBEDDED = PROFILE == "embedded"
    DEBUG = env.bool("DEBUG", False)
    VAR_DIR: Path = env.path("VAR_DIR", BASE_DIR / "var").resolve()
    DATABASE_URL = read_secret("DATABASE_URL")
    REDIS_URL = read_secret("REDIS_URL")
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"] if EMBEDDED else [])
    CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])

    # Uploads and the gate
    UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", 64 * 1024 * 1024)
    UPLOAD_MAX_FILES = env.int("UPLOAD_MAX_FILES", 50)
    UPLOADS_PER_MINUTE = env.int("UPLOADS_PER_MINUTE", 120)  # of one user; 0 for these three: no limit
    UPLOAD_DAILY_FILES = env.int("UPLOAD_DAILY_FILES", 2000)
    UPLOAD_DAILY_BYTES = env.int("UPLOAD_DAILY_BYTES", 20 * 1024**3)

    IMAGE_RETENTION_DAYS = env.int("IMAGE_RETENTION_DAYS", 0)  # 0: films are kept for ever
    if IMAGE_RETENTION_DAYS < 0:
        raise ImproperlyConfigured(f"IMAGE_RETENTION_DAYS is 0 or more. Received: {IMAGE_RETENTION_DAYS}")

    # Storage of films: `local` (under MEDIA_DIR) or `s3`
    STORAGE_BACKEND = env.str("STORAGE_BACKEND", "local")
    if STORAGE_BACKEND not in {"local", "s3"}:
        raise ImproperlyConfigured(f"STORAGE_BACKEND is local or s3. Received: {STORAGE_BACKEND!r}")
    MEDIA_DIR: Path = env.path("MEDIA_DIR", VAR_DIR / "media")
    LOCAL_FILMS_BY_PROXY = env.str("LOCAL_FILMS_BY_PROXY", "")  # an `internal` location of nginx; empty: the portal sends them
    if LOCAL_FILMS_BY_PROXY and (STORAGE_BACKEND != "local" or not re.fullmatch(r"/[\w-]+/", LOCAL_FILMS_BY_PROXY)):
        raise ImproperlyConfigured(f"LOCAL_FILMS_BY_PROXY is /name/, with local storage. Received: {LOCAL_FILMS_BY_PROXY!r}")
    S3_BUCKET = env.str("S3_BUCKET", "")
    S3_ENDPOINT_URL = env.str("S3_ENDPOINT_URL", "") or None
    S3_REGION = env.str("S3_REGION", "") or None
    S3_KMS_KEY_ID = env.str("S3_KMS_KEY_ID", "")
    S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY = read_secret("S3_ACCESS_KEY_ID"), read_secret("S3_SECRET_ACCESS_KEY")

    # Worker
    WORKER_BATCH_SIZE = env.int("WORKER_BATCH_SIZE", 32)
    WORKER_DECODERS = env.int("WORKER_DECODERS", 2)
    WORKER_LEASE_SECONDS = env.int("WORKER_LEASE_SECONDS", 30)
    WORKER_STALL_SECONDS = env.int("WORKER_STALL_SECONDS", 120)
    WORKER_POLL_SECONDS = env.float("WORKER_POLL_SECONDS", 2.0)
    WORKER_RECONCILES = env.bool("WORKER_RECONCILES", EMBEDDED)
    ANALYSIS_MAX_ATTEMPTS = env.int("ANALYSIS_MAX_ATTEMPTS", 3)
    REQUEUE_AFTER_SECONDS = env.int("REQUEUE_AFTER_SECONDS", 20)

    # Model
    MODEL_ENGINE = env.str("MODEL_ENGINE", "auto")  # auto, openvino, keras
    MODEL_THREADS = env.int("MODEL_THREADS", 0)  # 0: as many as there are cores
    MODEL_DIR: Path = env.path("MODEL_DIR", VAR_DIR / "models")
    MODEL_PROMOTION_SECOND_PERSON = env.bool("MODEL_PROMOTION_SECOND_PERSON", True)
    SHADOW_SHARE = env.float("SHADOW_SHARE", 1.0)  # of the films, 0 to 1
    if not 0 <= SHADOW_SHARE <= 1:
        raise ImproperlyConfigured(f"SHADOW_SHARE is a share from 0 to 1. Received: {SHADOW_SHARE}")
    STOP_RULE_PSI, STOP_RULE_AGREEMENT = env.float("STOP_RULE_PSI", 0.0), env.float("STOP_RULE_AGREEMENT", 0.0)  # 0: no rule
    if STOP_RULE_PSI < 0 or not 0 <= STOP_RULE_AGREEMENT <= 1:
        received = f"{STOP_RULE_PSI} and {STOP_RULE_AGREEMENT}"
        raise ImproperlyConfigured(f"STOP_RULE_PSI is 0 or more, STOP_RULE_AGREEMENT a share from 0 to 1. Received: {received}")
    STOP_RULE_ACTION = env.str("STOP_RULE_ACTION", "suspend")
    if STOP_RULE_ACTION not in {"suspend", "alert"}:
        raise ImproperlyConfigured(f"STOP_RULE_ACTION is suspend or alert. Received: {STOP_RULE_ACTION!r}")
    IMAGENET_WEIGHTS: Path | None = env.path("IMAGENET_WEIGHTS", None)

    # Backups: a directory, or s3://bucket/prefix with an account of its own; sealed with the key in BACKUP_KEY_FILE
    BACKUP_TARGET = env.str("BACKUP_TARGET", "")
    if BACKUP_TARGET and not re.fullmatch(r"/.+|s3://[a-z0-9][a-z0-9.-]+(/[\w./-]*)?", BACKUP_TARGET):
        raise ImproperlyConfigured(f"BACKUP_TARGET is /directory or s3://bucket/prefix. Received: {BACKUP_TARGET!r}")
    BACKUP_KEY_FILE: Path | None = env.path("BACKUP_KEY_FILE", None)  # read by `backup` and `restore` alone
    BACKUP_KEEP = {f"{step}s": env.int(f"BACKUP_KEEP_{step.upper()}S", kept) for step, kept in BACKUP_STEPS.items()}
    BACKUP_FORGET_DAYS = env.int("BACKUP_FORGET_DAYS", 35)  # after which backups too let go of a film that was purged
    if min(*BACKUP_KEEP.values(), BACKUP_FORGET_DAYS) < 0:
        raise ImproperlyConfigured("BACKUP_KEEP_… and BACKUP_FORGET_DAYS are 0 or more.")
    BACKUP_METRICS_DIR: Path = env.path("BACKUP_METRICS_DIR", VAR_DIR / "metrics")  # for node exporter's textfile collector
    BACKUP_S3_REGION, BACKUP_S3_ENDPOINT_URL = env.str("BACKUP_S3_REGION", ""), env.str("BACKUP_S3_ENDPOINT_URL", "")
    BACKUP_S3_ACCESS_KEY_ID = read_secret("BACKUP_S3_ACCESS_KEY_ID")
    BACKUP_S3_SECRET_ACCESS_KEY = read_secret("BACKUP_S3_SECRET_ACCESS_KEY")

    # Sessions and mail
    SESSION_COOKIE_AGE = int(env.timedelta("SESSION_LIFETIME", timedelta(hours=12)).total_seconds())
    SESSION_IDLE_SECONDS = env.int("SESSION_IDLE_SECONDS", 900)  # 0: never
    if SESSION_IDLE_SECONDS and SESSION_IDLE_SECONDS < 10:
        raise ImproperlyConfigured(f"SESSION_IDLE_SECONDS is 0 or 10 at least. Received: {SESSION_IDLE_SECONDS}")
    MFA_REQUIRED_FOR = env.str("MFA_REQUIRED_FOR", "staff")
    if MFA_REQUIRED_FOR not in {"staff", "all"}:
        raise ImproperlyConfigured(f"MFA_REQUIRED_FOR is staff or all. Received: {MFA_REQUIRED_FOR!r}")
    BREAK_GLASS_MINUTES = env.int("BREAK_GLASS_MINUTES", 60)
    if BREAK_GLASS_MINUTES < 1:
        raise ImproperlyConfigured(f"BREAK_GLASS_MINUTES is 1 at least. Received: {BREAK_GLASS_MINUTES}")
    PASSWORD_RESET_TIMEOUT = int(env.timedelta("PASSWORD_LINK_LIFETIME", timedelta(days=3)).total_seconds())
    EMAIL_HOST, EMAIL_PORT = env.str("EMAIL_HOST", ""), env.int("EMAIL_PORT", 587)
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_USER", ""), read_secret("EMAIL_HOST_PASSWORD") or ""
    EMAIL_USE_TLS, EMAIL_TIMEOUT = env.bool("EMAIL_USE_TLS", True), 10
    DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "portal@localhost")
    METRICS_TOKEN = read_secret("METRICS_TOKEN")
    METRICS_ADDRESS = env.str("METRICS_ADDRESS", "127.0.0.1")  # where worker and reconcile answer; 0: they do not
    WORKER_METRICS_PORT, RECONCILE_METRICS_PORT = env.int("WORKER_METRICS_PORT", 0), env.int("RECONCILE_METRICS_PORT", 0)
    LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
    LOG_FORMAT = env.str("LOG_FORMAT", "line" if EMBEDDED else "json")
    if LOG_FORMAT not in {"line", "json"}:
        raise ImproperlyConfigured(f"LOG_FORMAT is line or json. Received: {LOG_FORMAT!r}")
except EnvError as error:
    raise ImproperlyConfigured(str(error)) from error

if not EMBEDDED:
    refuse_unsafe_production(debug=DEBUG, database_url=DATABASE_URL, redis_url=REDIS_URL, allowed_hosts=ALLOWED_HOSTS)
if STORAGE_BACKEND == "s3" and not S3_BUCKET:
    raise ImproperlyConfigured("STORAGE_BACKEND=s3 needs S3_BUCKET.")
if BACKUP_TARGET and not BACKUP_KEY_FILE:
    raise ImproperlyConfigured("BACKUP_TARGET needs BACKUP_KEY_FILE.")

_embedded_key = partial(embedded_secret, VAR_DIR / "secret_key")
SECRET_KEY = (read_secret("SECRET_KEY") or _embedded_key()) if EMBEDDED else require_secret("SECRET_KEY")
# Pseudonyms of exported patients: another key than SECRET_KEY, whose rotation would part a patient from earlier exports
PSEUDONYM_KEY = read_secret("PSEUDONYM_KEY") or (embedded_secret(VAR_DIR / "pseudonym_key") if EMBEDDED else "")
# Chains the audit log: whoever holds it can forge entries, so it is neither SECRET_KEY nor in the database
AUDIT_KEY = (
    (read_secret("AUDIT_KEY") or embedded_secret(VAR_DIR / "audit_key")) if EMBEDDED else require_secret("AUDIT_KEY", length=32)
)
SECRET_KEY_FALLBACKS = [key.strip() for key in (read_secret("SECRET_KEY_FALLBACKS") or "").split(",") if key.strip()]
SECRET_FILES = secret_files

INSTALLED_APPS = [
    "diagnostics",
    "mlmodel",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "django_htmx",
    "django_prometheus",
    "django_rq",
    "accounts",  # last: its admin module takes away what other apps register
]

MIDDLEWARE = [
    "accounts.request_context.middleware",
    # Those that put headers on an answer stand outside those that give one themselves: redirects, static files, 413
    "pneumo_site.middleware.secure_headers",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "pneumo_site.middleware.guard_uploads",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.sessions.SessionLimits",
    "accounts.sessions.LoginRequired",
    "accounts.second_factor.SecondFactorMiddleware",
    "accounts.lockout.middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "pneumo_site.urls"
WSGI_APPLICATION = "pneumo_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# Database and cache
DATABASES = {"default": database_from_url(DATABASE_URL) if DATABASE_URL else sqlite_database(VAR_DIR / "portal.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Rate limits and used TOTP codes are shared by all processes and must not depend on Redis: log-in works while it is down.
# The default of 300 entries would let a stranger push others' limits out by trying many names.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "portal_cache",
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}

# Queue: a wake-up call only, so Redis may be down. JSON on the wire, and no function but ours is looked up.
REDIS = redis_from_url(REDIS_URL, var_dir=VAR_DIR)
RQ_QUEUES = {
    "analysis": {**rq_connection(REDIS), "DEFAULT_TIMEOUT": 60, "SERIALIZER": "rq.serializers.JSONSerializer"},
}
RQ = {
    "COMMIT_MODE": "auto",
    "JOB_CLASS": "diagnostics.jobs.AnalysisJob",
    "WORKER_CLASS": "diagnostics.worker.InferenceWorker",
}
RQ_SHOW_ADMIN_LINK = False
MODEL_STEP_LISTENER = "accounts.audit.record_version_step"
STANDING_LISTENER = "diagnostics.services.emergency.end_with_standing"

# Storage
_STATIC_BACKEND = (
    "django.contrib.staticfiles.storage.StaticFilesStorage"
    if DEBUG
    else "whitenoise.storage.CompressedManifestStaticFilesStorage"
)
_S3_OPTIONS = {
    "bucket_name": S3_BUCKET,
    "endpoint_url": S3_ENDPOINT_URL,
    "region_name": S3_REGION,
    "access_key": S3_ACCESS_KEY_ID,
    "secret_key": S3_SECRET_ACCESS_KEY,
    "kms_key_id": S3_KMS_KEY_ID,
}
STORAGES = {
    "films": (
        {"BACKEND": "diagnostics.storage_s3.PrivateS3Storage", "OPTIONS": _S3_OPTIONS}
        if STORAGE_BACKEND == "s3"
        else {"BACKEND": "diagnostics.storage.DurableFileStorage", "OPTIONS": {"location": MEDIA_DIR}}
    ),
    "default": {"BACKEND": "diagnostics.storage.NoStorage"},
    "staticfiles": {"BACKEND": _STATIC_BACKEND},
}
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
WHITENOISE_ALLOW_ALL_ORIGINS = False
STATICFILES_DIRS = [BASE_DIR / "static"]
FILE_UPLOAD_TEMP_DIR = VAR_DIR / "uploads"
FILE_UPLOAD_PERMISSIONS = 0o640
FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "pneumo_site.upload_handlers.SpoolingUploadHandler",
]
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = UPLOAD_MAX_FILES
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
FILE_UPLOAD_TEMP_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)

# Accounts
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "allauth.account.auth_backends.AuthenticationBackend",
    "accounts.backends.RoleBackend",
]
PASSWORD_HASHERS = [
    "accounts.hashers.FrugalArgon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["email", "full_name"]},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "diagnostics:worklist"
LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "accounts.adapter.ClosedAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Chest X-ray portal] "
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_FORMS = {"reset_password": "accounts.forms.ResetForm"}
# Django's tokens, not allauth's: those write a second copy of the address that would outlive a change of it.
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "django.contrib.auth.tokens.PasswordResetTokenGenerator"  # noqa: S105
ACCOUNT_EMAIL_VERIFICATION = "none"  # an administrator vouches for the address by inviting it
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# Wrong passwords: `accounts.lockout` says who is locked out by what; the key is user and address.
ACCOUNT_RATE_LIMITS = {"login": "60/m/ip", "login_failed": "30/m/ip,8/900s/key"}
LOGIN_FAILURES_PER_USER = "40/900s/key"
INVALID_TOKENS_PER_ADDRESS = "30/m/ip"
MFA_ADAPTER = "accounts.adapter.PortalMFAAdapter"
MFA_FORMS = {"add_webauthn": "accounts.forms.AddKeyForm"}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_PASSKEY_SIGNUP_ENABLED = False
MFA_TOTP_ISSUER = "Chest X-ray portal"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = EMBEDDED
MFA_WEBAUTHN_USER_VERIFICATION = "required"

# Sessions, cookies, transport
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_USE_SESSIONS = True
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # no second cookie
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if not EMBEDDED:
    SESSION_COOKIE_NAME, SESSION_COOKIE_SECURE, CSRF_COOKIE_SECURE = "__Host-session", True, True
    SECURE_SSL_REDIRECT, SECURE_PROXY_SSL_HEADER = True, ("HTTP_X_FORWARDED_PROTO", "https")
    ALLAUTH_TRUSTED_PROXY_COUNT = 1
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
    SECURE_HSTS_SECONDS, SECURE_HSTS_INCLUDE_SUBDOMAINS, SECURE_HSTS_PRELOAD = 31_536_000, True, True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "blob:", "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}

# Mail: SMTP where a server is named, else files under var/mail, so that no invitation is lost
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'filebased'}.EmailBackend"
EMAIL_FILE_PATH = VAR_DIR / "mail"

LANGUAGE_CODE = "en-gb"
FORMAT_MODULE_PATH = "pneumo_site.formats"
TIME_ZONE = env.str("TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True

PROMETHEUS_METRIC_NAMESPACE = "portal"
LOGGING = logging_config(form=LOG_FORMAT, level=LOG_LEVEL)
