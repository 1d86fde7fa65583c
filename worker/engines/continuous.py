"""Continuous batching in this process: transformers' own manager with a paged KV cache.

A request joins the running batch as soon as it comes and leaves when it is done, so that short ones do not wait for long
ones. The manager stamps every token when it is on the host, with the clock used here. Its cache is sized for the point
that is measured, so that no request is ever put off for want of pages and memory says what the load needs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from worker.engines.loading import load_model
from worker.engines.local import LocalEngine
from worker.engines.requests import Answer, Request

if TYPE_CHECKING:
    import torch

MODE: Final = "continuous"
_MOST_BATCH_TOKENS: Final = 8192
"""Prompt tokens of one step at most; longer prompts are worked off in pieces between the others' tokens."""
_LEAST_BATCH_TOKENS: Final = 512
_POLL_SECONDS: Final = 1.0


class ContinuousEngine(LocalEngine):
    """One loaded variant."""

    def __init__(self, model: Any) -> None:
        super().__init__(model, mode=MODE)
        self._manager: Any | None = None
        self._compile_seconds: float | None = None

    @classmethod
    def load(cls, directory: Path, *, device: torch.device) -> Self:
        """Return the engine with the variant in `directory` loaded. Raises as `loading.load_model` does."""
        return cls(load_model(directory, device=device))

    @property
    def cache(self) -> Any | None:
        """The paged KV cache, while the engine is ready."""
        processor = getattr(self._manager, "batch_processor", None)
        return getattr(processor, "cache", None)

    @property
    def compile_seconds(self) -> float | None:
        """Seconds spent on capturing CUDA graphs; None where there are none."""
        return self._compile_seconds

    @contextmanager
    def ready(self, *, concurrency: int, input_tokens: int, context_tokens: int) -> Generator[None]:
        """Run the manager with pages for `concurrency` sequences of `context_tokens`."""
        from transformers import ContinuousBatchingConfig, GenerationConfig

        _quiet()
        settings: Any = ContinuousBatchingConfig(
            max_requests_per_batch=concurrency,
            max_batch_tokens=min(_MOST_BATCH_TOKENS, max(_LEAST_BATCH_TOKENS, concurrency * input_tokens)),
            allow_block_sharing=False,
            safety_margin=0.0,
        )
        # The name of the page's size differs between versions of transformers.
        page = int(getattr(settings, "page_size", None) or settings.block_size)
        kinds = len(set(getattr(self._model.config.get_text_config(), "layer_types", None) or ("one",)))
        settings.num_blocks = kinds * (concurrency * (context_tokens // page + 1) + 1)
        generation = GenerationConfig(
            do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=context_tokens
        )
        manager = self._model.init_continuous_batching(
            generation_config=generation, continuous_batching_config=settings
        )
        if self._model.device.type == "cuda":
            start = time.perf_counter()
            manager.warmup()
            self._compile_seconds = (self._compile_seconds or 0.0) + time.perf_counter() - start
        manager.start()
        self._manager = manager
        try:
            yield
        finally:
            self._manager = None
            manager.stop(block=True, hard_stop=True)
            manager.destroy()

    def serve(self, requests: Sequence[Request], concurrency: int, deadline: float) -> list[Answer]:
        """Answer the requests, see the protocol. Raises what ended the manager, such as running out of memory."""
        manager = self._manager
        if manager is None:
            raise RuntimeError("the engine is not ready: `serve` belongs inside `ready`")
        waiting = list(reversed(requests))
        running: dict[str, tuple[Request, float]] = {}
        answers: list[Answer] = []
        while waiting or running:
            while waiting and len(running) < concurrency and time.perf_counter() < deadline:
                request = waiting.pop()
                sent = time.perf_counter()
                name = manager.add_request(
                    list(request.prompt),
                    max_new_tokens=request.output_tokens,
                    eos_token_id=-1,
                    record_timestamps=True,
                )
                if name is None:
                    raise _end_of(manager)
                running[name] = (request, sent)
            if not running:
                break
            result = manager.get_result(timeout=_POLL_SECONDS)
            if result is None:
                if not manager.is_running():
                    raise _end_of(manager)
                continue
            if result.request_id in running:
                answers.append(_answer(result, *running.pop(result.request_id)))
                if answers[-1].error is not None and not manager.is_running():
                    raise _end_of(manager)
        return answers


def _answer(result: Any, request: Request, sent: float) -> Answer:
    times = tuple(result.timestamps or ())
    generated = len(result.generated_tokens)
    error = result.error
    if error is None and len(times) != generated:
        # A request that is put off for want of pages starts anew and forgets its times.
        error = f"{generated} tokens and {len(times)} times: the request was interrupted"
    return Answer(
        request=request,
        sent=sent,
        times=times,
        output_tokens=generated,
        input_tokens=len(result.prompt_ids),
        error=error,
    )


def _end_of(manager: Any) -> Exception:
    fatal = getattr(manager.background_thread_status, "fatal_error", None)
    return fatal if isinstance(fatal, Exception) else RuntimeError("continuous batching ended by itself")


def _quiet() -> None:
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)
