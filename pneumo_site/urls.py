"""Every address of the portal, by room."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from diagnostics.api import urls as api_urls
from diagnostics.urls import model_urls
from pneumo_site import health

handler500 = "pneumo_site.outages.answer_broken"

admin.site.site_header = admin.site.site_title = "Chest X-ray portal"
admin.site.index_title = "Administration"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="diagnostics:worklist"), name="home"),
    path("cases/", include("diagnostics.urls")),
    path("model/", include(model_urls)),
    path("accounts/", include("accounts.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", api_urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
