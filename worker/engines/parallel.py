"""Tensor parallelism: one model over several devices, every layer's matrices cut between them.

transformers cuts the weights by the architecture's own plan and adds up the parts. Rank 0 is the engine that is asked;
what it is asked it tells the others, and all run the same token loop.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from planner.domain.profile import Fact
from planner.domain.runtime import Runtime
from planner.errors import InvalidInput
from worker.engines import Generation
from worker.engines.loading import check_directory, load_model, set_threads
from worker.engines.ranks import Ranks
from worker.engines.transformers import TransformersEngine

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

MAX_DEGREE: Final = 64
_END: Final = "end"


def check_degree(directory: Path, degree: int, device: torch.device) -> None:
    """Raise InvalidInput when the variant in `directory` cannot be cut into `degree` equal parts on this machine."""
    import torch

    if not 2 <= degree <= MAX_DEGREE:
        raise InvalidInput("tensor_parallel", f"{degree} is out of range", allowed=f"2 to {MAX_DEGREE}")
    if device.type == "cuda" and (device.index or 0) != 0:
        raise InvalidInput(
            "device", f"{device} with tensor parallelism", allowed="cuda:0, the first of the devices"
        )
    if device.type == "cuda" and torch.cuda.device_count() < degree:
        raise InvalidInput(
            "tensor_parallel",
            f"{degree} devices",
            allowed=f"at most {torch.cuda.device_count()} on this machine",
        )
    if device.type == "cpu" and torch.cuda.is_available():
        raise InvalidInput("device", "cpu with tensor parallelism on a machine with GPUs", allowed="cuda")
    config = check_directory(directory)
    if "quantization_config" in config:
        raise InvalidInput(
            "tensor_parallel", "of a quantized variant", allowed="variants with weights at 16 or 32 bits"
        )
    heads = config.get("num_attention_heads")
    _divides("num_attention_heads", degree, heads)
    _divides("num_key_value_heads", degree, config.get("num_key_value_heads") or heads)
    _divides("intermediate_size", degree, config.get("intermediate_size"))
    _require_plan(directory)


def _divides(field: str, degree: int, value: Any) -> None:
    if not isinstance(value, int) or value % degree:
        raise InvalidInput(
            "tensor_parallel",
            f"{degree} does not divide {field}, which is {value}",
            allowed=f"a divisor of {value}",
        )


def _require_plan(directory: Path) -> None:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    if not getattr(config.get_text_config(), "base_model_tp_plan", None):
        raise InvalidInput(
            "tensor_parallel",
            f"is not planned by transformers for `{config.model_type}`",
            allowed="architectures with a tensor-parallel plan, such as llama and qwen2",
        )


class ParallelEngine:
    """One variant over `degree` devices, seen from rank 0. Close it, so that the other ranks end."""

    def __init__(self, engine: TransformersEngine, ranks: Ranks, rank_bytes: tuple[int, ...]) -> None:
        self._engine = engine
        self._ranks = ranks
        self.rank_bytes = rank_bytes
        """Bytes of weights that each rank holds."""

    @classmethod
    def load(cls, directory: Path, degree: int, *, device: torch.device, threads: int | None = None) -> Self:
        """Return the loaded engine; `threads` are those of each rank.

        Raises as `check_degree` and loading do, JobFailed (crashed) when another rank ends.
        """
        check_degree(directory, degree, device)
        ranks = Ranks(_serve, (directory, degree, threads), degree=degree, kind=device.type)
        try:
            engine, rank_bytes = _load(directory, degree, device)
        except BaseException:
            _say_why(ranks)
            raise
        return cls(engine, ranks, rank_bytes)

    def close(self) -> None:
        """End the other ranks."""
        try:
            _tell(_END)
            self._ranks.wait_for_end()
        except RuntimeError:
            pass  # one is gone; the rest are ended below
        finally:
            self._ranks.end()

    @property
    def model(self) -> Any:
        """Rank 0's part of the model."""
        return self._engine.model

    @property
    def runtime(self) -> Runtime:
        """transformers, its version and mode; the degree is the profile's number of devices."""
        return self._engine.runtime

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self._engine.vocabulary

    @property
    def max_context(self) -> int | None:
        """Most tokens of one sequence."""
        return self._engine.max_context

    @property
    def attention(self) -> str:
        """The attention implementation in use."""
        return self._engine.attention

    @property
    def cache(self) -> Any:
        """Rank 0's part of the latest KV cache, None where the engine does not keep it."""
        return getattr(self._engine, "cache", None)

    @property
    def facts(self) -> dict[str, Fact]:
        """The degree, and the bytes of weights of every rank."""
        facts: dict[str, Fact] = {"tensor_parallel": len(self.rank_bytes)}
        facts |= {f"rank_{rank}_weights_bytes": count for rank, count in enumerate(self.rank_bytes)}
        return facts | {"all_ranks_weights_bytes": sum(self.rank_bytes)}

    def generate(self, prompts: npt.NDArray[np.int64], output_tokens: int) -> Generation:
        """Generate on all ranks. Raises as one engine does, JobFailed (crashed) when another rank ended."""
        try:
            _tell((prompts, output_tokens))
            return self._engine.generate(prompts, output_tokens)
        except RuntimeError:
            self._ranks.wait_for_end(1.0)
            self._ranks.check()
            raise


def _say_why(ranks: Ranks) -> None:
    """End the ranks; when one of them ended before, raise that instead of what it caused here."""
    ranks.wait_for_end(1.0)
    try:
        ranks.check()
    finally:
        ranks.end()


def _load(directory: Path, degree: int, device: torch.device) -> tuple[TransformersEngine, tuple[int, ...]]:
    """Load this rank's part and return it with the bytes of every rank."""
    import torch.distributed as dist

    from worker.measure.weights import count_weights

    model = load_model(directory, device=device, tensor_parallel=degree)
    counts: list[int] = [0] * degree
    dist.all_gather_object(counts, count_weights(model).total_bytes)
    return TransformersEngine(model), tuple(counts)


def _tell(order: Any) -> Any:
    """Hand rank 0's order to every rank and return it."""
    import torch
    import torch.distributed as dist

    box = [order]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def _serve(rank: int, directory: Path, degree: int, threads: int | None) -> None:
    """Be one of the other ranks: load, then do what rank 0 does until it says to end."""
    import torch

    set_threads(threads)
    device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
    engine, _ = _load(directory, degree, device)
    while (order := _tell(None)) != _END:
        prompts, output_tokens = order
        engine.generate(prompts, output_tokens)
