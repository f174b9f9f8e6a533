"""The addresses below `/nodes/v1/` that agents ask over HTTP; the web socket is in `console.asgi`."""

from django.urls import path

from nodes import views

urlpatterns = [path("enroll", views.enroll, name="nodes-enroll")]
