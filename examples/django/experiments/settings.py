"""Settings of the site, as small as Django's admin allows.

From the environment: DATABASE, a file; REDIS_PORT; WEBSOCKET_URI, where the pages find
the WebSocket server; SECRET_KEY, which both processes must share.
"""

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

SECRET_KEY = os.environ.get("SECRET_KEY", "for trying it on localhost only")
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "experiments.urls"
USE_TZ = True
STATIC_URL = "static/"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", FOLDER.parent / "db.sqlite3"),
    }
}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "experiments.apps.ExperimentsConfig",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [FOLDER / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
LOGIN_URL = "admin:login"

REDIS_URL = f"redis://127.0.0.1:{os.environ.get('REDIS_PORT', '6379')}/"
WEBSOCKET_URI = os.environ.get("WEBSOCKET_URI", "ws://localhost:8888/")
TOKEN_SECONDS = 30  # from the page's making to its connection
