"""Every setting of ShareAI, read from the environment. `docs/settings.md` explains each."""

from __future__ import annotations

from pathlib import Path

from csp.constants import NONCE

from console import env
from console.sign_in_providers import sign_in_providers

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / "var"))).resolve()

# -- Deployment --------------------------------------------------------------------------------
DEMO = env.boolean("SHAREAI_DEMO", False)
DEBUG = env.boolean("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
PUBLIC_URL = env.text("PUBLIC_URL", f"http://127.0.0.1:{env.integer('PORT', 8000)}").rstrip("/")
GATEWAY_URL = env.text("GATEWAY_URL", PUBLIC_URL).rstrip("/")
HTTPS = PUBLIC_URL.startswith("https://")
_own_origin = [PUBLIC_URL] if HTTPS else []  # a proxy that ends TLS asks without it
CSRF_TRUSTED_ORIGINS = [*env.words("CSRF_TRUSTED_ORIGINS"), *_own_origin]

# -- Engines -----------------------------------------------------------------------------------
# Under ASGI each request has a thread of its own: a connection that outlives it would be kept and never used again.
DATABASES = {"default": env.database() | {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}}
DATABASE_POOL = {
    "size": env.integer("DATABASE_POOL_SIZE", 10, 1),
    "wait_s": env.seconds("DATABASE_POOL_WAIT_S", 10.0),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.text("REDIS_URL", "redis://127.0.0.1:6379/0")

# -- Applications ------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_cotton.apps.SimpleAppConfig",
    "lucide",
    "channels",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.mfa",
    "allauth.usersessions",
    "accounts",
    "ledger",
    "metering",
    "providers",
    "nodes",
    "routing",
    "billing",
    "billing.earnings.apps.EarningsConfig",
    "console",
]

MIDDLEWARE = [
    "console.database_pool.give_back",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.session_sightings.SessionSightings",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "console.urls"
GATEWAY_URLCONF = "routing.urls"
ASGI_APPLICATION = "console.asgi.application"

# -- Templates, static files, languages --------------------------------------------------------
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "django_cotton.cotton_loader.Loader",
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "builtins": ["django_cotton.templatetags.cotton"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.context.chrome",
            ],
        },
    },
]
COTTON_DIR = "components"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "staticfiles"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("th", "ไทย")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# -- Identity ----------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = env.text("EMAIL_VERIFICATION", "optional" if DEMO else "mandatory")
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if HTTPS else "http"
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_BY_CODE_SUPPORTS_RESEND = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_RATE_LIMITS = {
    "signup": "20/m/ip",
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "request_login_code": "20/m/ip,3/m/key",
    "confirm_email": "20/m/ip,3/m/key",
    "reset_password": "20/m/ip,5/m/key",
    "reauthenticate": "10/m/user",
}
ALLAUTH_TRUSTED_PROXY_COUNT = env.integer("TRUSTED_PROXY_COUNT", 0, least=0)
MFA_ADAPTER = "accounts.mfa.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "ShareAI"
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS
USERSESSIONS_TRACK_ACTIVITY = True
USERSESSIONS_ADAPTER = "accounts.account_trail.SessionsAdapter"
SOCIALACCOUNT_ADAPTER = "accounts.adapter.SocialAccountAdapter"
SOCIALACCOUNT_PROVIDERS = sign_in_providers()
INSTALLED_APPS += [f"allauth.socialaccount.providers.{provider}" for provider in SOCIALACCOUNT_PROVIDERS]
LOGIN_REDIRECT_URL = "/"
LOGIN_URL = "/accounts/login/"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
_mail = env.mail("EMAIL_URL")
EMAIL_BACKEND = env.text("EMAIL_BACKEND", _mail.backend)
EMAIL_HOST, EMAIL_PORT = _mail.host, _mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.starts_tls, _mail.is_tls
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "ShareAI <no-reply@localhost>")

# -- Payments ----------------------------------------------------------------------------------
STRIPE_SECRET_KEY = env.text("STRIPE_SECRET_KEY")
STRIPE_WEBHOOK_SECRET = env.text("STRIPE_WEBHOOK_SECRET")
STRIPE_BASE_URL = env.text("STRIPE_BASE_URL").rstrip("/")
env.require_long_secret("STRIPE_WEBHOOK_SECRET", STRIPE_WEBHOOK_SECRET, 16 if STRIPE_SECRET_KEY else 0)
_stripe_pages = (
    [STRIPE_BASE_URL]
    if STRIPE_BASE_URL
    else ["https://checkout.stripe.com", "https://billing.stripe.com", "https://connect.stripe.com"]
)

# -- Browser security --------------------------------------------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ALLAUTH_TRUSTED_PROXY_COUNT else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'", NONCE],
        "style-src": ["'self'", NONCE],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        # A form may lead to where one pays: browsers check the address that its answer redirects to.
        "form-action": ["'self'", *(_stripe_pages if STRIPE_SECRET_KEY else ())],
        "frame-ancestors": ["'none'"],
    },
}

# -- Management API ----------------------------------------------------------------------------
INSTALLED_APPS += ["console.api"]
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "console.api.openapi.Described",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ShareAI API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "PATH_CONVERTER_OVERRIDES": {"route_name": {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]+$"}},
    "SORT_OPERATIONS": False,
    "SORT_OPERATION_PARAMETERS": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "POSTPROCESSING_HOOKS": ["console.api.document_parts.complete"],
}

# -- Secrets and egress ------------------------------------------------------------------------
KEYRING = env.text("SHAREAI_KEYRING")
EGRESS_ALLOW = env.text("EGRESS_ALLOW")

# -- Own machines ------------------------------------------------------------------------------
NODE_RELAY_HOST = env.text("NODE_RELAY_HOST", "127.0.0.1")
NODE_DEAD_AFTER_S = env.integer("NODE_DEAD_AFTER_S", 30, least=3)
NODE_CANARY_SHARE = env.number("NODE_CANARY_SHARE", 0.01)
NODE_PRICE_LEAST_USD = env.number("NODE_PRICE_LEAST_USD", 0.0)
NODE_PRICE_MOST_USD = env.number("NODE_PRICE_MOST_USD", 100.0)

# -- Health ------------------------------------------------------------------------------------
PROBES = env.boolean("PROBES", True)
PROBE_INTERVAL_S = env.seconds("PROBE_INTERVAL_S", 30.0)
HEALTH_HISTORY_DAYS = env.integer("HEALTH_HISTORY_DAYS", 90, 1)
PROBE_TICK_S = max(PROBE_INTERVAL_S / 8, 0.25)

# -- Billing -----------------------------------------------------------------------------------
USAGE_HOOKS = ["billing.settlement.settler", "routing.canary_counts.counter"]
CREDITS_REQUIRED = env.boolean("CREDITS_REQUIRED", True)
WELCOME_CREDIT_USD = env.number("WELCOME_CREDIT_USD", 5.0)
PLATFORM_MARGIN_PERCENT = env.number("PLATFORM_MARGIN_PERCENT", 0.0)
NODE_OWNER_SHARE_PERCENT = env.number("NODE_OWNER_SHARE_PERCENT", 70.0)
PAYOUT_LEAST_USD = env.number("PAYOUT_LEAST_USD", 25.0)
PAYOUT_DAY = env.integer("PAYOUT_DAY", 1, least=1)
EARNINGS_MATURITY_DAYS = env.integer("EARNINGS_MATURITY_DAYS", 14, least=0)
EARNINGS_TRUST_PERCENT = env.number("EARNINGS_TRUST_PERCENT", 95.0)
EARNINGS_TRUST_REQUESTS = env.integer("EARNINGS_TRUST_REQUESTS", 100, least=0)
EARNINGS_ANSWER_DAYS = env.integer("EARNINGS_ANSWER_DAYS", 7, least=1)
EARNINGS_EXPOSURE = env.boolean("EARNINGS_EXPOSURE", True)
RECONCILE_LIMIT_S = env.integer("RECONCILE_LIMIT_S", 21_600, least=60)

# -- Celery ------------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = 600
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULE = {
    "kept-answers": {"task": "console_api.expire_answers", "schedule": 3600.0},
    "rollups": {"task": "metering.roll_up", "schedule": 10.0},
    "partitions": {"task": "metering.ensure_partitions", "schedule": 3600.0},
    "expiry": {"task": "metering.expire_usage", "schedule": 3600.0},
    "old contents": {"task": "metering.expire_contents", "schedule": 3600.0},
    "parked keys": {"task": "providers.retry_parked_keys", "schedule": PROBE_TICK_S},
    "alerts": {"task": "providers.mail_alerts", "schedule": 10.0},
    "old health": {"task": "providers.forget_old_health", "schedule": 3600.0},
    "canaries": {"task": "routing.watch_canaries", "schedule": 5.0},
    "budgets": {"task": "metering.watch_budgets", "schedule": 15.0},
    "reaping": {"task": "ledger.reap_leases", "schedule": 10.0},
    "reconciliation": {"task": "ledger.reconcile", "schedule": 3600.0},
    "smoke tests": {"task": "console.sweep_smoke_runs", "schedule": 60.0},
    "payments": {"task": "billing.handle_events", "schedule": 60.0},
    "maturing earnings": {"task": "earnings.mature", "schedule": 3600.0},
    "doubted earnings": {"task": "earnings.look_into_doubts", "schedule": 600.0},
    "exposure": {"task": "earnings.set_exposure", "schedule": 3600.0},
    "missed payments": {"task": "billing.find_missed_events", "schedule": 3600.0},
    "automatic top-ups": {"task": "billing.top_up_automatically", "schedule": 20.0},
    "invoices": {"task": "billing.make_invoices", "schedule": 60.0},
    "monthly payouts": {"task": "billing.freeze_month", "schedule": 3600.0},
    "payouts": {"task": "billing.send_payouts", "schedule": 60.0},
    "payout destinations": {"task": "billing.look_at_payees", "schedule": 600.0},
    "what needs a person": {"task": "billing.look_for_concerns", "schedule": 300.0},
    "exports": {"task": "metering.sweep_exports", "schedule": 60.0},
    "statements": {"task": "billing.close_months", "schedule": 3600.0},
    "prices": {"task": "providers.sync_prices", "schedule": 86_400.0},
}
if PROBES:
    CELERY_BEAT_SCHEDULE["probes"] = {
        "task": "providers.probe_connections",
        "schedule": PROBE_TICK_S,
        "options": {"expires": PROBE_INTERVAL_S / 2},
    }

# -- Data plane --------------------------------------------------------------------------------
JOURNAL_DIR = DATA_DIR / "journal"
METRICS_TOKEN = env.text("METRICS_TOKEN", "")
env.require_long_secret("METRICS_TOKEN", METRICS_TOKEN, 16 if METRICS_TOKEN else 0)
DEADLINES = {
    "connect_s": env.seconds("DEADLINE_CONNECT_S", 5.0),
    "first_byte_s": env.seconds("DEADLINE_FIRST_BYTE_S", 60.0),
    "first_byte_unary_s": env.seconds("DEADLINE_FIRST_BYTE_UNARY_S", 300.0),
    "idle_s": env.seconds("DEADLINE_IDLE_S", 60.0),
    "total_unary_s": env.seconds("DEADLINE_TOTAL_UNARY_S", 600.0),
    "total_stream_s": env.seconds("DEADLINE_TOTAL_STREAM_S", 1800.0),
}
CLIENT_BODY_S = env.seconds("DEADLINE_CLIENT_BODY_S", 30.0)
CLIENT_STALL_S = env.seconds("DEADLINE_CLIENT_STALL_S", 60.0)
CHECKPOINT_S = env.seconds("CHECKPOINT_S", 5.0)
DRAIN_S = env.seconds("DEADLINE_DRAIN_S", 20.0)
GATEWAY_PROCESSES = env.integer("GATEWAY_PROCESSES", env.integer("WEB_WORKERS", 1))
AUTHORITY_STALE_S = env.seconds("AUTHORITY_STALE_S", 60.0)
CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}}
CACHES = {"default": {"BACKEND": "console.cache_backend.RedisOrLocalCache", "LOCATION": REDIS_URL}}
