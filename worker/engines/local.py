"""What all engines share whose transformers model is in this process."""

from __future__ import annotations

from typing import Any

from planner.domain.runtime import Runtime
from planner.errors import InvalidInput
from worker.engines.loading import context_limit


class LocalEngine:
    """A loaded model and what is known of it; `mode` is part of the runtime and so of every profile's key."""

    def __init__(self, model: Any, *, mode: str) -> None:
        import transformers

        self._model = model
        self._runtime = Runtime(name="transformers", version=transformers.__version__, mode=mode)

    @property
    def model(self) -> Any:
        """The transformers model."""
        return self._model

    @property
    def runtime(self) -> Runtime:
        """transformers, its version and the mode."""
        return self._runtime

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return int(self._model.config.get_text_config().vocab_size)

    @property
    def max_context(self) -> int | None:
        """Most tokens of one sequence, as the model's configuration says."""
        return context_limit(self._model)

    @property
    def attention(self) -> str:
        """The attention implementation in use."""
        return str(getattr(self._model.config, "_attn_implementation", None) or "unknown")

    def check_length(self, tokens: int, output_tokens: int) -> None:
        """Raise InvalidInput when a sequence of that many tokens would pass the model's context."""
        limit = self.max_context
        if limit is not None and tokens + output_tokens > limit:
            raise InvalidInput(
                "workload",
                f"{tokens} tokens in and {output_tokens} out make {tokens + output_tokens}",
                allowed=f"at most {limit} tokens of context for this model",
            )
