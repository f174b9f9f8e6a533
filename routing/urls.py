"""The URLs behind the lean handler."""

from django.urls import path

from routing import probes, views

urlpatterns = [
    path("v1/chat/completions", views.ChatCompletionsView.as_view()),
    path("v1/completions", views.CompletionsView.as_view()),
    path("v1/embeddings", views.EmbeddingsView.as_view()),
    path("v1/moderations", views.ModerationsView.as_view()),
    path("v1/rerank", views.RerankView.as_view()),
    path("v1/images/generations", views.ImagesView.as_view()),
    path("v1/responses", views.ResponsesView.as_view()),
    path("v1/responses/<path:response>", views.ResponseView.as_view()),
    path("v1/messages", views.MessagesView.as_view()),
    path("v1/messages/count_tokens", views.MessageTokensView.as_view()),
    path("v1/compare", views.CompareView.as_view()),
    path("v1/models", views.ModelsView.as_view()),
    path("v1/models/<path:model>", views.ModelView.as_view()),
    path("v1/route/explain", views.ExplainView.as_view()),
    path("v1/key", views.KeyView.as_view()),
    path("health/live", probes.live),  # type: ignore[arg-type]
    path("health/ready", probes.ready),  # type: ignore[arg-type]
    path("metrics", probes.metrics),  # type: ignore[arg-type]
]
