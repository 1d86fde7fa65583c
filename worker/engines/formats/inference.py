"""The inference settings of a loaded model: read from its configuration, applied once it is loaded."""

from __future__ import annotations

from typing import Any

import msgspec

from planner.domain.inference import InferenceSettings, inference_settings


def settings_of(model: Any) -> InferenceSettings:
    """Return the settings in the model's configuration. Raises InvalidInput for what is not understood."""
    return inference_settings({"inference": getattr(model.config, "inference", None)})


def declare_settings(model: Any, settings: InferenceSettings) -> None:
    """Write `settings` over those in the model's configuration, so that saving keeps them, and apply them.

    Raises InvalidInput when the model cannot be run so.
    """
    model.config.inference = msgspec.to_builtins(settings.over(settings_of(model)))
    apply_settings(model)


def apply_settings(model: Any) -> None:
    """Make the loaded model compute as its configuration says. Raises InvalidInput when it cannot."""
    settings = settings_of(model)
    if settings.attention is not None:
        from worker.engines.attention import use_topk_attention

        use_topk_attention(model, settings.attention)
    if settings.kv_cache is not None:
        from worker.engines.cache import check_quantizable

        check_quantizable(model, settings.kv_cache)
