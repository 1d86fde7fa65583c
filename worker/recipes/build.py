"""Building a variant: load the base, quantize, save before any forward pass, then run; later reload and compare.

Saving first matters: some kernels repack weights in place when they first run, and what is saved afterwards is not what
was built. The comparison runs in a process of its own when the runner drives it, so nothing is shared but the files.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from planner.domain.job import FailureReason
from planner.domain.job_requirement import unmet
from planner.domain.profile import Fact
from planner.errors import InvalidInput
from worker.capabilities import detect_capabilities
from worker.engines.cache import forward_options
from worker.engines.libraries import installation
from worker.engines.loading import (
    check_directory,
    context_limit,
    import_libraries,
    load_model,
    resolve_device,
    run_toy_model,
    weight_files,
)
from worker.failure import JobFailed
from worker.measure.memory import PeakMemory
from worker.measure.weights import Weights, count_weights
from worker.progress import Report, ignore, part
from worker.recipes import AnyRecipe, recipe_name
from worker.recipes.canonical import canonicalize
from worker.recipes.coverage import Coverage, count_coverage, refused_layers
from worker.recipes.recipe import Ingredients

if TYPE_CHECKING:
    import torch

    from worker.evaluate.dataset import Dataset

CHECK_SEQUENCES: Final = 2
CHECK_TOKENS: Final = 64
_COPIED: Final = frozenset({".json", ".txt", ".model", ".jinja"})
_NOT_COPIED: Final = frozenset({"config.json", "generation_config.json"})
_NEEDS_GPU: Final = re.compile(r"(?:cuda$|cc\b|vram\b|gpus\b)")
_OF_GPUS: Final = re.compile(r"(?:cuda$|cc:|vram:|gpus:)")
"""What a machine states about its GPUs, which building on its CPU does not have."""
_LEGAL: Final = ("license", "licence", "notice", "copying")


class Construction(msgspec.Struct, frozen=True, kw_only=True):
    """What building did, before the files were proven to load again."""

    coverage: Coverage
    weights: Weights
    seconds: float
    peak_bytes: int | None
    """Most memory in use above what the process held before: device memory on CUDA, resident memory otherwise."""
    device: str
    facts: dict[str, Fact] = {}
    """What the recipe learnt on the way."""
    text_digest: str | None = None
    """sha256 of the text the recipe calibrated or trained on."""


class Reload(msgspec.Struct, frozen=True, kw_only=True):
    """The saved files, loaded again and run on the same tokens as the model in memory."""

    bit_equal: bool
    largest_difference: float
    tolerance: float
    logits: int
    """How many logits were compared."""


def construct(
    base: Path,
    out: Path,
    expected: Path,
    recipe: AnyRecipe,
    *,
    text: Dataset | None = None,
    device: str = "auto",
    report: Report = ignore,
) -> Construction:
    """Build `recipe` of the model in `base` into the new folder `out`; write the model's logits to the file `expected`.

    Raises InvalidInput for a base that is quantized already, a recipe that touched nothing or one that lacks its text,
    InvalidFile and UnsafeFile for a bad base, JobFailed when the machine lacks what the recipe requires.
    """
    config = check_directory(base)
    if "quantization_config" in config:
        raise InvalidInput("base", "is quantized already", allowed="a model at 16 or 32 bits")
    if recipe.uses_text and text is None:
        raise InvalidInput(
            "dataset",
            f"is missing: `{recipe_name(recipe)}` calibrates or trains on text",
            allowed="a data set",
        )
    target = _building_device(recipe, device)
    import_libraries()
    from worker.engines.formats.quantized_linear import kernels, settle  # imports torch

    left_alone = refused_layers(base, recipe)
    run_toy_model(target)
    start = time.perf_counter()
    report(0.05, "loading and quantizing")
    given = Ingredients(
        base=base,
        device=target,
        left_alone=left_alone,
        text=text if recipe.uses_text else None,
        report=part(report, 0.05, 0.7),
    )
    if given.text is not None:
        given.facts["text"] = given.text.name
    with PeakMemory(target) as peak:
        model = recipe.build(given)
        coverage, weights = count_coverage(model, recipe), count_weights(model)
        report(0.7, "saving")
        recipe.save(model, out)
        settle(model)
        products = kernels(model)
        if products:
            given.facts["kernel"] = ", ".join(products)
        for file in weight_files(out):
            canonicalize(file)
        _copy_companions(base, out)
        seconds = time.perf_counter() - start
        report(0.8, "running the model in memory")
        _save_logits(_check_logits(model), expected)
    report(1.0, "built")
    return Construction(
        coverage=coverage,
        weights=weights,
        seconds=seconds,
        peak_bytes=peak.most_bytes,
        device=str(target),
        facts=given.facts,
        text_digest=given.text.digest if given.text is not None else None,
    )


def verify(
    out: Path, expected: Path, recipe: AnyRecipe, *, device: str = "auto", report: Report = ignore
) -> Reload:
    """Load the built folder afresh and compare its logits with those of the model that was in memory.

    Raises JobFailed(reload_mismatch) when they differ by more than the recipe's tolerance, JobFailed(artifact_corrupt)
    when they are not finite.
    """
    import torch
    from safetensors.torch import load_file

    report(0.1, "loading the saved files")
    model = load_model(out, device=_building_device(recipe, device))
    report(0.6, "comparing with the model in memory")
    actual, wanted = _check_logits(model), load_file(expected)["logits"]
    if not bool(torch.isfinite(wanted).all()):
        raise JobFailed(FailureReason.ARTIFACT_CORRUPT, "the built model's logits are not finite")
    if actual.shape != wanted.shape or actual.dtype != wanted.dtype:
        raise JobFailed(
            FailureReason.RELOAD_MISMATCH,
            f"reloaded logits are {tuple(actual.shape)} {actual.dtype}, built were {tuple(wanted.shape)} {wanted.dtype}",
        )
    equal = bool(torch.equal(actual, wanted))
    difference = (actual.double() - wanted.double()).abs().nan_to_num(nan=float("inf")).max().item()
    if not equal and difference > recipe.reload_tolerance:
        raise JobFailed(
            FailureReason.RELOAD_MISMATCH,
            f"`{recipe_name(recipe)}`: reloaded logits differ from those in memory by up to {difference:.3g}, "
            f"allowed is {recipe.reload_tolerance:g}",
        )
    report(1.0, "verified")
    return Reload(
        bit_equal=equal,
        largest_difference=difference,
        tolerance=recipe.reload_tolerance,
        logits=actual.numel(),
    )


def build_variant(
    base: Path,
    out: Path,
    recipe: AnyRecipe,
    *,
    text: Dataset | None = None,
    device: str = "auto",
    report: Report = ignore,
    run_construct: Callable[..., Construction] = construct,
    run_verify: Callable[..., Reload] = verify,
) -> tuple[Construction, Reload]:
    """Build and verify; `out` appears only when both succeed. Raises InvalidInput when `out` exists already.

    The runner passes `run_construct` and `run_verify` that do the same work in child processes.
    """
    if out.exists():
        raise InvalidInput("out", f"`{out}` exists already", allowed="a folder that does not exist")
    work = out.parent / f".{out.name}.building"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        files, expected = work / "files", work / "expected.safetensors"
        construction = run_construct(
            base, files, expected, recipe, text=text, device=device, report=part(report, 0.0, 0.7)
        )
        reload = run_verify(files, expected, recipe, device=device, report=part(report, 0.7, 1.0))
        files.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return construction, reload


def _building_device(recipe: AnyRecipe, device: str) -> torch.device:
    """Return the device to build on: CUDA where the recipe needs it, else the CPU unless one is named.

    Rounding on the CPU gives the same bytes on every machine; only recipes bound to a CUDA layout need the GPU. Raises
    JobFailed(kernel_unsupported) naming what the device or the machine lacks.
    """
    needs_cuda = any(_NEEDS_GPU.match(word) for word in recipe.requires)
    target = resolve_device("cpu" if device == "auto" and not needs_cuda else device)
    if not recipe.requires:
        return target
    capabilities = detect_capabilities()
    if target.type != "cuda":
        capabilities = frozenset(word for word in capabilities if not _OF_GPUS.match(word))
    missing = unmet(recipe.requires, capabilities)
    if missing:
        hints = [hint for hint in map(installation, missing) if hint]
        raise JobFailed(
            FailureReason.KERNEL_UNSUPPORTED,
            f"`{recipe_name(recipe)}` needs {', '.join(missing)}, which building on {target} does not have"
            + "".join(f"; {hint}" for hint in hints),
        )
    return target


def _copy_companions(base: Path, out: Path) -> None:
    """Copy tokenizer, templates and licences, so that the variant is complete on its own."""
    for file in sorted(base.iterdir()):
        wanted = file.suffix in _COPIED or file.name.lower().startswith(_LEGAL)
        skipped = file.name in _NOT_COPIED or file.name.endswith(".index.json") or file.name.startswith(".")
        if file.is_file() and wanted and not skipped:
            shutil.copyfile(file, out / file.name)


def _check_logits(model: Any) -> torch.Tensor:
    """Return the logits on a fixed batch of pseudo-random tokens, on the CPU."""
    import numpy as np
    import torch

    vocabulary = int(model.config.get_text_config().vocab_size)
    tokens = min(CHECK_TOKENS, context_limit(model) or CHECK_TOKENS)
    batch = np.random.default_rng(0).integers(0, vocabulary, size=(CHECK_SEQUENCES, tokens))
    with torch.inference_mode():
        options = forward_options(model, CHECK_SEQUENCES, tokens)
        logits: torch.Tensor = model(torch.from_numpy(batch).to(model.device), **options).logits
    return logits.cpu().contiguous()


def _save_logits(logits: torch.Tensor, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"logits": logits.clone()}, path)
