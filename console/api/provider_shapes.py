"""What requests about providers may say, and what answers say."""

from __future__ import annotations

from rest_framework import serializers

from console.api.fields import Body, Flag, Kind, Shown, Text, Usd, Whole
from console.health import Health
from providers.drafts import CAPABILITIES, KINDS, MOST_KEYS, MOST_MODELS
from providers.models import Connection
from providers.presets import CUSTOM, PRESETS
from providers.targets import QUANTIZATIONS
from providers.tiers import MOST_TIERS

_MOST_TOKENS = 100_000_000
TIERS = "A request whose prompt has more than `above_tokens` costs the tier's prices, with all its tokens."


class ProviderKeyShown(Shown):
    object = Kind("provider_key")
    id = serializers.CharField(source="public_id")
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    hint = serializers.CharField(allow_blank=True, help_text="The last characters, to tell keys apart.")
    weight = serializers.IntegerField()
    state = serializers.ChoiceField(["active", "parked"])
    state_reason = serializers.CharField(allow_blank=True)
    state_changed_at = serializers.DateTimeField(allow_null=True)
    retry_at = serializers.DateTimeField(
        allow_null=True, help_text="When a key that the provider refused is tried again; null: no such key."
    )
    created_at = serializers.DateTimeField()


class PriceTierShown(Shown):
    """US dollars for a million tokens. null: as other input or output of the tier."""

    above_tokens = serializers.IntegerField()
    input_price = serializers.CharField()
    output_price = serializers.CharField()
    cached_input_price = serializers.CharField(allow_null=True, default=None)
    cache_write_price = serializers.CharField(allow_null=True, default=None)
    audio_input_price = serializers.CharField(allow_null=True, default=None)
    reasoning_price = serializers.CharField(allow_null=True, default=None)
    audio_output_price = serializers.CharField(allow_null=True, default=None)


class ProviderModelShown(Shown):
    id = serializers.CharField(source="model_id")
    upstream_id = serializers.CharField()
    kind = serializers.ChoiceField(KINDS)
    enabled = serializers.BooleanField()
    weight = serializers.IntegerField()
    input_price = Usd(allow_null=True, help_text="US dollars for a million tokens.")
    cached_input_price = Usd(allow_null=True)
    output_price = Usd(allow_null=True)
    request_price = Usd(help_text="US dollars for a request.")
    cache_write_price = Usd(allow_null=True)
    audio_input_price = Usd(allow_null=True)
    reasoning_price = Usd(allow_null=True)
    audio_output_price = Usd(allow_null=True)
    price_tiers = PriceTierShown(many=True)
    price_source = serializers.ChoiceField(["manual", "catalog", "none"])
    price_version = serializers.IntegerField()
    context_tokens = serializers.IntegerField(allow_null=True)
    max_output_tokens = serializers.IntegerField(allow_null=True)
    capabilities = serializers.ListField(child=serializers.CharField())


class ProviderOptionsShown(Shown):
    auth_header = serializers.CharField(required=False)
    api_version = serializers.CharField(required=False)
    data_collection = serializers.CharField(required=False)
    quantization = serializers.CharField(required=False)
    dropped_params = serializers.CharField(required=False)


class ProviderShown(Shown):
    object = Kind("provider")
    id = serializers.CharField(source="public_id")
    slug = serializers.CharField()
    name = serializers.CharField()
    status = serializers.SerializerMethodField(help_text=", ".join(Health))
    preset = serializers.CharField()
    base_url = serializers.CharField()
    enabled = serializers.BooleanField()
    priority = serializers.IntegerField(help_text="Lower is tried first.")
    simulated = serializers.BooleanField()
    options = ProviderOptionsShown()
    keys = ProviderKeyShown(many=True, source="keys.all")
    models = ProviderModelShown(many=True, source="served_models.all")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_status(self, connection: Connection) -> str:
        return str(self.context["vitals"][connection.pk].state)


class TestShown(Shown):
    object = Kind("provider_test")
    ok = serializers.BooleanField()
    models = serializers.ListField(child=serializers.CharField(), help_text="As the provider calls them.")
    model = serializers.CharField(allow_blank=True, help_text="The one that was asked for a token.")
    latency_ms = serializers.IntegerField(allow_null=True)
    first_token_ms = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(required=False, help_text="Only when it failed: what to do, in one sentence.")
    error_code = serializers.CharField(required=False)


class PriceTierWish(Body):
    above_tokens = Whole(min_value=1, max_value=_MOST_TOKENS)
    input_price = Usd()
    output_price = Usd()
    cached_input_price = Usd(required=False, allow_null=True)
    cache_write_price = Usd(required=False, allow_null=True)
    audio_input_price = Usd(required=False, allow_null=True)
    reasoning_price = Usd(required=False, allow_null=True)
    audio_output_price = Usd(required=False, allow_null=True)


class NewModel(Body):
    id = Text(max_length=200, help_text="The public name.")
    upstream_id = Text(max_length=200, required=False, help_text="The provider's name for it; the same by default.")
    kind = serializers.ChoiceField(KINDS, required=False)
    enabled = Flag(required=False)
    weight = Whole(required=False, min_value=0, max_value=1000)
    input_price = Usd(required=False, allow_null=True, help_text="US dollars for a million tokens.")
    cached_input_price = Usd(required=False, allow_null=True)
    output_price = Usd(required=False, allow_null=True)
    request_price = Usd(required=False, allow_null=True, help_text="US dollars for a request.")
    cache_write_price = Usd(required=False, allow_null=True, help_text="null: as other input.")
    audio_input_price = Usd(required=False, allow_null=True, help_text="null: as other input.")
    reasoning_price = Usd(required=False, allow_null=True, help_text="null: as other output.")
    audio_output_price = Usd(required=False, allow_null=True, help_text="null: as other output.")
    price_tiers = serializers.ListField(
        child=PriceTierWish(), required=False, max_length=MOST_TIERS, help_text=f"The whole list. {TIERS}"
    )
    context_tokens = Whole(required=False, allow_null=True, min_value=1, max_value=_MOST_TOKENS)
    max_output_tokens = Whole(required=False, allow_null=True, min_value=1, max_value=_MOST_TOKENS)
    capabilities = serializers.ListField(child=serializers.ChoiceField(sorted(CAPABILITIES)), required=False)


class ProviderOptionWishes(Body):
    auth_header = Text(required=False, allow_blank=True, max_length=60)
    api_version = Text(required=False, allow_blank=True, max_length=40)
    data_collection = serializers.ChoiceField(
        ["allow", "deny"],
        required=False,
        allow_blank=True,
        help_text="`deny`: it keeps nothing of what it is asked, so requests that deny collection may go there.",
    )
    quantization = serializers.ChoiceField(
        list(QUANTIZATIONS), required=False, allow_blank=True, help_text="Of its models, as requests ask for it."
    )
    dropped_params = Text(
        required=False,
        allow_blank=True,
        max_length=2000,
        help_text="Names of parameters that it cannot take, besides those known of its preset, with spaces between. "
        "They are not sent to it, and `x-shareai-dropped-params` of the answer names them.",
    )


class ProviderChanges(Body):
    name = Text(max_length=80)
    base_url = Text(max_length=300, help_text="Another host makes all stored keys forgotten.")
    api_keys = serializers.ListField(
        child=Text(max_length=4096), max_length=MOST_KEYS, help_text="Keys to add to the stored ones."
    )
    models = serializers.ListField(child=NewModel(), max_length=MOST_MODELS, help_text="The whole list.")
    priority = Whole(min_value=1, max_value=10_000)
    enabled = Flag()
    options = ProviderOptionWishes()


class NewProvider(Body):
    name = Text(max_length=80)
    preset = serializers.ChoiceField(list(PRESETS), default=CUSTOM)
    base_url = Text(max_length=300, required=False, help_text="Not needed where the preset has one.")
    api_keys = serializers.ListField(child=Text(max_length=4096), max_length=MOST_KEYS, default=list)
    models = serializers.ListField(child=NewModel(), max_length=MOST_MODELS, default=list)
    priority = Whole(min_value=1, max_value=10_000, default=100)
    enabled = Flag(default=True)
    options = ProviderOptionWishes(required=False)


class NewProviderKey(Body):
    key = Text(max_length=4096)
    label = Text(max_length=60, required=False, allow_blank=True)  # type: ignore[assignment]
    weight = Whole(required=False, min_value=1, max_value=1000)


class ProviderKeyChanges(Body):
    state = serializers.ChoiceField(["active", "parked"])
