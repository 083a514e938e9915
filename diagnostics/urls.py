"""The case portal's pages, mounted at /cases/, and the model's (`model_urls`), mounted at /model/."""

from django.urls import path

from diagnostics.views import audit, case, emergency, live, media, model, patient, unsaved, upload, worklist

app_name = "diagnostics"

urlpatterns = [
    path("", worklist.worklist, name="worklist"),
    path("live/", live.live, name="live"),
    path("delay/", live.delay, name="delay"),
    path("upload/", upload.upload, name="upload"),
    path("emergency/", emergency.open_case, name="emergency"),
    path("patients/<uuid:pk>/", patient.patient, name="patient"),
    path("patients/<uuid:pk>/access/", audit.patient_access, name="patient_access"),
    path("<uuid:pk>/", case.case, name="case"),
    path("<uuid:pk>/status/", case.status, name="status"),
    path("<uuid:pk>/review/", case.review, name="review"),
    path("<uuid:pk>/unsaved-review/", unsaved.keep, name="unsaved_review"),
    path("<uuid:pk>/end-emergency/", emergency.end, name="end_emergency"),
    path("<uuid:pk>/analyse-again/", case.analyse_again, name="analyse_again"),
    path("<uuid:pk>/override/", case.override, name="override"),
    path("<uuid:pk>/original/", media.original, name="original"),
    path("<uuid:pk>/display/", media.display, name="display"),
    path("<uuid:pk>/heatmap/", media.heatmap, name="heatmap"),
]

model_urls = (
    [
        path("", model.active, name="active"),
        path("<str:version>/", model.version, name="version"),
        path("<str:version>/<str:name>", model.figure, name="figure"),
    ],
    "model",
)
