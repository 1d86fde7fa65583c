"""A loaded model as an evaluation sees it: the one place where logits are computed and text is generated.

How a variant says it is run is honoured here: `load_model` applies the settings in its configuration, and
`forward_options` and `make_cache` give each pass the cache those settings ask for.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import InvalidInput
from worker.engines.cache import forward_options, make_cache, quantizes_cache
from worker.engines.loading import load_model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch


class Predictor:
    """One loaded model that predicts next tokens."""

    def __init__(self, directory: Path, device: torch.device) -> None:
        self._model: Any = load_model(directory, device=device)
        self._keeps = "logits_to_keep" in inspect.signature(self._model.forward).parameters

    def logits(self, ids: npt.NDArray[np.int64], *, start: int = 0) -> torch.Tensor:
        """Return the logits after each token from position `start` on: rows x (tokens - start) x vocabulary.

        Every row of `ids` is one sequence from its beginning. Rows that end early may be padded on the right with any
        token: causal models never look ahead, so nothing before the padding changes.
        """
        import torch

        rows, length = ids.shape
        options = forward_options(self._model, rows, length)
        if start and self._keeps:
            options["logits_to_keep"] = length - start
        with torch.inference_mode():
            inputs = torch.from_numpy(ids).to(self._model.device)
            result: torch.Tensor = self._model(input_ids=inputs, **options).logits
        return result[:, -(length - start) :]

    def generate(
        self, ids: npt.NDArray[np.int64], *, most: int, stop: tuple[str, ...], tokenizer: Any
    ) -> npt.NDArray[np.int64]:
        """Return the tokens that greedy decoding adds to each row of `ids`: rows x at most `most`.

        It ends at the model's end token, and where a text in `stop` was written.
        """
        import torch
        from transformers import GenerationConfig, StoppingCriteriaList

        rows, length = ids.shape
        end = self.end_tokens
        options: dict[str, Any] = {}
        if stop:
            # transformers' own criterion for texts reads the whole vocabulary anew for every prompt
            options["stopping_criteria"] = StoppingCriteriaList([_Stop(stop, length, tokenizer)])
        if quantizes_cache(self._model):
            options["past_key_values"] = make_cache(self._model, rows, length + most)
        settings = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=most,
            eos_token_id=end or None,
            pad_token_id=end[0] if end else 0,
        )
        with torch.inference_mode():
            inputs = torch.from_numpy(ids).to(self._model.device)
            result = self._model.generate(
                inputs=inputs, attention_mask=torch.ones_like(inputs), generation_config=settings, **options
            )
        added: npt.NDArray[np.int64] = result[:, length:].cpu().numpy()
        return added

    @property
    def model(self) -> Any:
        """The transformers model itself, for libraries that run it their own way."""
        return self._model

    def check_plain_cache(self, who: str) -> None:
        """Raise InvalidInput when the variant asks for a quantized KV cache, which `who` would leave out."""
        if quantizes_cache(self._model):
            raise InvalidInput(
                "variant",
                f"asks for a quantized KV cache, which {who} does not use",
                allowed="task files of this project's own format",
            )

    @property
    def end_tokens(self) -> list[int]:
        """Tokens that end a text, by the model's own settings."""
        value = getattr(self._model.generation_config, "eos_token_id", None)
        if value is None:
            value = getattr(self._model.config.get_text_config(), "eos_token_id", None)
        return (
            [] if value is None else [int(item) for item in (value if isinstance(value, list) else [value])]
        )


class _Stop:
    """Ends each row whose text after the prompt holds one of the stop texts."""

    def __init__(self, texts: tuple[str, ...], length: int, tokenizer: Any) -> None:
        self._texts, self._length, self._tokenizer = texts, length, tokenizer

    def __call__(self, ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:
        import torch

        del scores, more
        written = [
            self._tokenizer.decode(row, skip_special_tokens=True) for row in ids[:, self._length :].tolist()
        ]
        ended = [any(text in row for text in self._texts) for row in written]
        return torch.tensor(ended, dtype=torch.bool, device=ids.device)
