"""Loading a folder of model files with transformers, strictly: safetensors only, no code from files, no network.

transformers fills weights that a file lacks with random numbers and only logs it; here that is an error.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from planner.errors import InvalidFile, InvalidInput, UnsafeFile
from worker.engines.formats import load_options
from worker.engines.formats.inference import apply_settings
from worker.recipes.recipe import ComputeType

if TYPE_CHECKING:
    import torch

MAX_THREADS: Final = 4096
_PICKLED: Final = frozenset({".bin", ".pt", ".pth", ".pkl", ".ckpt", ".pickle"})
_ESCAPE: Final = re.compile(r"\x1b\[[0-9;]*m")
_LIBRARIES: Final = (
    "torchao.quantization",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",  # with it comes what every causal model needs
    "transformers.quantizers.auto",
    "transformers.tokenization_utils_tokenizers",
)
_NOISY: Final = ("torchao", "torch.utils._pytree", "transformers", "accelerate")


def quiet_libraries() -> None:
    """Keep torch, torchao and transformers from reaching the network, and from printing bars and hints.

    tqdm, which torch's compiler draws with, would make a lock between processes: a named semaphore that is left behind when
    a child ends without exit handlers. Nothing here draws from two processes, so a lock between threads is enough.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    bars: Any = import_module("tqdm")  # untyped
    bars.tqdm.set_lock(threading.RLock())
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()


def import_libraries() -> None:
    """Import what loading a model needs, so that neither its time nor its memory counts as the model's."""
    quiet_libraries()
    for name in _LIBRARIES:
        import_module(name)


def run_toy_model(device: torch.device) -> None:
    """Run a tiny random model once, so that memory the libraries take at first use does not count as the model's."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        model: Any = LlamaForCausalLM(config)
        model = model.to(device=device, dtype=torch.bfloat16).eval()
    with torch.inference_mode():
        model(input_ids=torch.arange(32, device=device)[None].repeat(2, 1))


def resolve_device(name: str) -> torch.device:
    """Return the torch device for "auto", "cpu", "cuda" or "cuda:N". Raises InvalidInput when it is not there."""
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    allowed = ", ".join(["auto", "cpu", *(f"cuda:{index}" for index in range(available))])
    if name == "auto":
        return torch.device("cuda", 0) if available else torch.device("cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdecimal()) or int(index or 0) >= available:
        raise InvalidInput("device", f"`{name}` is not on this machine", allowed=allowed)
    return torch.device("cuda", int(index or 0))


def set_threads(threads: int | None) -> None:
    """Set how many threads CPU work uses; None leaves torch's choice. Raises InvalidInput."""
    import torch

    if threads is None:
        return
    if not 1 <= threads <= MAX_THREADS:
        raise InvalidInput("threads", f"{threads} is out of range", allowed=f"1 to {MAX_THREADS}")
    torch.set_num_threads(threads)


def check_directory(directory: Path) -> dict[str, Any]:
    """Return the `config.json` of a folder that is safe to load, or what a GGUF file says in its place.

    Raises InvalidInput when there is no such folder, UnsafeFile for pickled weights or code of its own, InvalidFile for
    a file that is missing or cannot be read.
    """
    if not directory.is_dir():
        raise InvalidInput("directory", f"`{directory}` is not a folder", allowed="a folder of model files")
    if _holds_gguf(directory):
        from worker.engines.formats.gguf_model import gguf_configuration

        return gguf_configuration(directory)
    path = directory / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise InvalidFile("config.json", "", "is missing", allowed="a model's configuration") from None
    except msgspec.DecodeError as error:
        raise InvalidFile("config.json", "", f"is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise InvalidFile("config.json", "", "is not an object", allowed="a JSON object")
    if config.get("auto_map"):
        raise UnsafeFile(
            "config.json", "auto_map", "asks for code of its own", allowed="built-in architectures"
        )
    weights = weight_files(directory)
    if not weights:
        pickled = sorted(file.name for file in directory.iterdir() if file.suffix in _PICKLED)
        if pickled:
            raise UnsafeFile(pickled[0], "", "is pickled and can run code", allowed="safetensors")
        raise InvalidFile(str(directory.name), "", "holds no weights", allowed="*.safetensors")
    for file in weights:
        _check_weights(file)
    return config


def weight_files(directory: Path) -> list[Path]:
    """Return the folder's safetensors files, sorted."""
    return sorted(directory.glob("*.safetensors"))


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
    except (SafetensorError, OSError) as error:
        raise InvalidFile(path.name, "header", f"cannot be read: {error}") from error
    if not names:
        raise InvalidFile(path.name, "header", "names no tensors")


def load_model(
    directory: Path,
    *,
    device: torch.device,
    dtype: ComputeType | None = None,
    torchao_config: Any | None = None,
    quantization_config: Any | None = None,
    left_alone: tuple[str, ...] = (),
    tensor_parallel: int | None = None,
) -> Any:
    """Return the causal language model in `directory` on `device`, in evaluation mode.

    `dtype` None keeps the stored one; `torchao_config` quantizes while loading, except the layers named in `left_alone`
    (none named is transformers' own choice: the output head), and so does `quantization_config`, an object of
    transformers that names its own exceptions. With `tensor_parallel` this process is one of so many ranks and loads its
    part. Raises InvalidFile when the files lack a weight, hold one of the wrong shape, or cannot be understood, JobFailed
    when the machine lacks a library their format needs; errors of memory and kernels pass through.
    """
    quiet_libraries()
    import torch
    from transformers import AutoModelForCausalLM, TorchAoConfig

    if _holds_gguf(directory):
        return _load_gguf(directory, device, dtype, torchao_config)

    loader: Any = AutoModelForCausalLM
    config = check_directory(directory)
    options: dict[str, Any] = {
        "dtype": "auto" if dtype is None else getattr(torch, dtype),
        **load_options(directory, config),
    }
    if quantization_config is not None:
        options["quantization_config"] = quantization_config
    if torchao_config is not None:
        options["quantization_config"] = TorchAoConfig(
            torchao_config, modules_to_not_convert=list(left_alone) or None
        )
    options |= _placement(device, tensor_parallel, always=quantization_config is not None)
    with _loading_report() as lines:
        try:
            model, report = loader.from_pretrained(
                directory,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            )
        except (KeyError, OSError) as error:
            raise InvalidFile(directory.name, "", f"cannot be loaded: {error}") from error
        except RuntimeError as error:
            # transformers says what went wrong in its log only, and raises a reference to it.
            told = " ".join(lines)
            if "MISMATCH" in told:
                raise InvalidFile(directory.name, "weights", f"have wrong shapes: {told}") from error
            if "CONVERSION" in told:
                raise RuntimeError(told) from error
            raise
    _require_complete(directory, report)
    apply_settings(model)
    return model.eval()


def _placement(device: torch.device, tensor_parallel: int | None, *, always: bool) -> dict[str, Any]:
    """Return where the weights go: `device`, or this rank's part of them on its device; the CPU is only named `always`."""
    if tensor_parallel is not None:
        from transformers.distributed.configuration_utils import DistributedConfig

        return {"distributed_config": DistributedConfig(tp_size=tensor_parallel)}
    return {"device_map": {"": str(device)}} if always or device.type != "cpu" else {}


def _require_complete(directory: Path, report: Mapping[str, Any]) -> None:
    """Raise InvalidFile when transformers filled in, left out or did not fit a weight."""
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        names = sorted(str(name) for name in report.get(problem) or ())
        if names:
            raise InvalidFile(
                directory.name,
                problem.removesuffix("_keys") + " weights",
                ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
            )


def _holds_gguf(directory: Path) -> bool:
    return not weight_files(directory) and any(directory.glob("*.gguf"))


def _load_gguf(directory: Path, device: torch.device, dtype: ComputeType | None, torchao_config: Any) -> Any:
    from worker.engines.formats.gguf_model import load_gguf

    if torchao_config is not None:
        raise InvalidInput("base", "is a GGUF file", allowed="safetensors at 16 or 32 bits to quantize")
    return load_gguf(directory, device=device, dtype=dtype)


@contextmanager
def _loading_report() -> Generator[list[str]]:
    """Collect what transformers logs while it loads, as plain lines, instead of printing it."""
    lines: list[str] = []
    logger = logging.getLogger("transformers.modeling_utils")
    handler = logging.Handler()
    handler.emit = lambda record: lines.extend(_plain(record.getMessage()))  # type: ignore[method-assign]
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.removeHandler(handler)


def _plain(report: str) -> list[str]:
    lines = (" ".join(_ESCAPE.sub("", line).split()) for line in report.splitlines())
    return [line for line in lines if line][:20]


def load_tokenizer(directory: Path) -> Any:
    """Return the tokenizer in `directory`. Raises InvalidFile when there is none that can be loaded."""
    quiet_libraries()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidFile(directory.name, "tokenizer", f"cannot be loaded: {error}") from error


def context_limit(model: Any) -> int | None:
    """Return the most tokens of one sequence that the model's configuration allows."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(limit) if limit else None
