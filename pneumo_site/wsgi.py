"""The portal as a WSGI application."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pneumo_site.settings")
application = get_wsgi_application()
_ = get_resolver().url_patterns  # every view is read now, before processes are forked and before anybody waits for a first page
