"""The address below `/billing/` that Stripe posts to."""

from django.urls import path

from billing.webhooks import StripeWebhook

urlpatterns = [path("stripe", StripeWebhook.as_view(), name="stripe-webhook")]
