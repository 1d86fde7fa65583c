"""What the files of a variant really are, from their headers alone: architecture, scheme, bits, parameters, bytes.

Nothing is loaded. Code is refused first, then the weight files are read, then the configuration is held against them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from planner.artifacts import model_card, weight_files
from planner.artifacts.code_refusal import refuse_code
from planner.artifacts.durable import open_regular
from planner.artifacts.headers.safetensors import read_safetensors
from planner.artifacts.headers.tensor import StoredTensor
from planner.artifacts.json_document import read_json_object
from planner.artifacts.quantization.configuration import read_declaration, read_modelopt
from planner.artifacts.quantization.recognition import recognise
from planner.artifacts.quantization.scheme import Finding, find_scheme, require_declaration
from planner.artifacts.quantization.torchao import Subclass, subclasses
from planner.artifacts.quantization.weight import Weight
from planner.domain.architecture import Architecture
from planner.domain.huggingface import architecture_from_config, supports_exact_count
from planner.domain.inference import InferenceSettings, inference_settings
from planner.domain.scheme import Scheme
from planner.domain.variant import FileFormat, check_path
from planner.errors import InvalidFile, InvalidInput

_CONFIG: Final = "config.json"
_MODELOPT: Final = "hf_quant_config.json"
_MAX_CONFIG_BYTES: Final = 10_000_000
_MISSING_SHARE: Final = 0.01
"""A model that lacks more than this share of the parameters its configuration describes is incomplete."""

_LAYER: Final = re.compile(r"(?:^|\.)(?:layers|h|blk)\.(\d{1,6})\.")


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about a variant, derived from its files.

    `parameters` are logical (a packed int32 counts as the integers in it; scales and zero points do not count).
    `weight_bytes` are what a loaded model holds: all tensors, tied embeddings once. `effective_bits` is
    8 x weight_bytes / parameters, so it shows what is really stored, whatever the scheme is called. `formats` are
    bytes by stored type as the file spells it.
    """

    architecture: Architecture | None
    scheme: Scheme
    file_format: FileFormat
    parameters: int
    weight_bytes: int
    effective_bits: float
    tensors: int
    formats: Mapping[str, int]
    base_model: str | None = None
    license: str | None = None
    name: str | None = None
    warnings: tuple[str, ...] = ()


def inspect(files: Mapping[str, Path]) -> Inspection:
    """Return the facts of a variant whose path → place on disk map is `files`.

    Raises UnsafeFile for anything that could run code, InvalidFile naming file and field for truncated, lying,
    incomplete or contradictory files, InvalidInput for paths that are not allowed.
    """
    for label in files:
        check_path(label)
    refuse_code(files)
    ggufs, safetensors = weight_files.named(files, ".gguf"), weight_files.named(files, ".safetensors")
    if ggufs and safetensors:
        raise InvalidFile(
            ggufs[0], "", f"and `{safetensors[0]}` are weights of two formats", allowed="one format"
        )
    if ggufs:
        return _inspect_gguf(files)
    if safetensors:
        return _inspect_safetensors(files)
    raise InvalidInput("files", "hold no weights", allowed="*.safetensors or *.gguf")


# -- safetensors --------------------------------------------------------------------------------------------------


def _inspect_safetensors(files: Mapping[str, Path]) -> Inspection:
    index = weight_files.read_index(files)
    labels = weight_files.safetensors_files(files, index)
    tensors: dict[str, StoredTensor] = {}
    described: dict[str, Subclass] = {}
    warnings: list[str] = []
    for label in weight_files.named(files, ".safetensors"):
        header = read_safetensors(files[label], label)
        if label not in labels:
            warnings.append(f"{label} is not part of the model and was not counted")
            continue
        described.update((subclass.name, subclass) for subclass in subclasses(header.metadata, label))
        _add(tensors, header.tensors)
    if index is not None:
        weight_files.check_index(index, tensors)
        stored = sum(tensor.nbytes for tensor in tensors.values())
        if index.total_size not in {None, stored}:
            warnings.append(
                f"{weight_files.INDEX} announces {index.total_size} bytes, the shards hold {stored}"
            )

    def read(tensor: StoredTensor, limit: int) -> bytes:
        if tensor.nbytes > limit:
            raise InvalidFile(tensor.file, f"tensor {tensor.name[:200]!r}", f"has more than {limit} bytes")
        with open_regular(files[tensor.file], tensor.file) as file:
            file.seek(tensor.offset)
            return file.read(tensor.nbytes)

    config = (
        read_json_object(files[_CONFIG], _CONFIG, limit=_MAX_CONFIG_BYTES, finite=False)
        if _CONFIG in files
        else None
    )
    declared = read_declaration(config, file=_CONFIG) if config is not None else None
    if _MODELOPT in files and (declared is None or declared.method == "modelopt"):
        document = read_json_object(files[_MODELOPT], _MODELOPT, limit=_MAX_CONFIG_BYTES)
        declared = read_modelopt(document, file=_MODELOPT) or declared
    weights = recognise(tensors, described.values(), declared, read)
    architecture = None
    settings = InferenceSettings()
    if config is None:
        warnings.append("no config.json: the architecture is unknown")
    else:
        architecture = _architecture(config, _CONFIG, warnings)
        settings = _settings(config)
        if declared is None:
            require_declaration(weights, _CONFIG)
    weights, tied = _tie(weights, architecture)
    warnings += tied
    card = _card(files)
    inspection = _summary(
        weights,
        tensors.values(),
        find_scheme(weights, declared),
        file_format=FileFormat.SAFETENSORS,
        architecture=architecture,
        warnings=warnings,
    )
    return msgspec.structs.replace(
        inspection,
        scheme=settings.applied_to(inspection.scheme),
        base_model=model_card.hub_id(card.get("base_model")),
        license=_license(card),
        name=model_card.hub_id((config or {}).get("_name_or_path")),
        warnings=inspection.warnings + _check_config(inspection, weights, _CONFIG),
    )


def _add(tensors: dict[str, StoredTensor], more: Sequence[StoredTensor]) -> None:
    for tensor in more:
        if tensor.name in tensors:
            raise InvalidFile(
                tensor.file, f"tensor {tensor.name[:200]!r}", f"is also in `{tensors[tensor.name].file}`"
            )
        tensors[tensor.name] = tensor


def _tie(
    weights: Sequence[Weight], architecture: Architecture | None
) -> tuple[tuple[Weight, ...], list[str]]:
    """Leave out a head that a loader ties to the embedding, although the file holds both."""
    if architecture is None or not architecture.tied_embeddings:
        return tuple(weights), []
    head = next((w for w in weights if w.name.endswith("lm_head.weight")), None)
    table = next((w for w in weights if w.name.endswith("embed_tokens.weight")), None)
    if head is None or table is None or head.is_quantized or head.shape != table.shape:
        return tuple(weights), []
    warning = f"{head.name} is tied to {table.name}: stored twice, counted once"
    return tuple(weight for weight in weights if weight is not head), [warning]


# -- GGUF ---------------------------------------------------------------------------------------------------------


def _inspect_gguf(files: Mapping[str, Path]) -> Inspection:
    from planner.artifacts import gguf_facts  # noqa: PLC0415  # the gguf package costs 80 ms, and most variants are not
    from planner.artifacts.headers.gguf import read_gguf  # noqa: PLC0415  # same

    labels = weight_files.gguf_files(files)
    headers = [read_gguf(files[label], label) for label in labels]
    tensors: dict[str, StoredTensor] = {}
    for number, (label, header) in enumerate(zip(labels, headers, strict=True)):
        split = (header.metadata.get("split.no", 0), header.metadata.get("split.count", 0) or 1)
        if split != (number, len(labels)):
            raise InvalidFile(
                label, "split.no", f"is {split[0]} of {split[1]}", allowed=f"{number} of {len(labels)}"
            )
        _add(tensors, header.tensors)
    if not tensors:
        raise InvalidFile(labels[0], "", "holds no tensors")
    first = headers[0]
    weights = gguf_facts.gguf_weights(tuple(tensors.values()))
    config = gguf_facts.gguf_config(first, frozenset(tensors), labels[0])
    warnings: list[str] = []
    architecture = None
    if config is None:
        warnings.append("layers differ in shape: the architecture is left unknown")
    else:
        architecture = _architecture(config, labels[0], warnings)
    finding = find_scheme(weights, None, label=gguf_facts.gguf_label(first, weights, labels[0]))
    inspection = _summary(
        weights,
        tensors.values(),
        finding,
        file_format=FileFormat.GGUF,
        architecture=architecture,
        warnings=warnings,
    )
    text = {key: value for key, value in first.metadata.items() if isinstance(value, str)}
    url = text.get("general.base_model.0.repo_url", "").removeprefix("https://huggingface.co/")
    return msgspec.structs.replace(
        inspection,
        base_model=model_card.hub_id(url),
        license=(text.get("general.license") or "")[:200] or None,
        name=(text.get("general.name") or "")[:200] or None,
        warnings=inspection.warnings + _check_config(inspection, weights, labels[0]),
    )


# -- both ---------------------------------------------------------------------------------------------------------


def _architecture(config: Mapping[str, Any], label: str, warnings: list[str]) -> Architecture | None:
    """Return the architecture; None, with a warning, for networks that are described in other words than ours."""
    try:
        return architecture_from_config(config)
    except InvalidInput as error:
        field, problem = str(error.details["field"]), str(error.details["problem"])
        if problem == "is missing":
            warnings.append(
                f"{label}: {field.removeprefix('config.')} is missing: the architecture is unknown"
            )
            return None
        raise InvalidFile(
            label, field.removeprefix("config."), problem, allowed=error.details.get("allowed")
        ) from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise InvalidFile(
            label, "", f"does not describe a model: {error}", allowed="what transformers writes"
        ) from error


def _settings(config: Mapping[str, Any]) -> InferenceSettings:
    try:
        return inference_settings(config)
    except InvalidInput as error:
        raise InvalidFile(
            _CONFIG,
            str(error.details["field"]),
            str(error.details["problem"]),
            allowed=error.details.get("allowed"),
        ) from error


def _summary(
    weights: Sequence[Weight],
    tensors: Collection[StoredTensor],
    finding: Finding,
    *,
    file_format: FileFormat,
    architecture: Architecture | None,
    warnings: Sequence[str],
) -> Inspection:
    formats: Counter[str] = Counter()
    for tensor in tensors:
        formats[tensor.dtype] += tensor.nbytes
    parameters = sum(weight.parameters for weight in weights)
    weight_bytes = sum(weight.nbytes for weight in weights)
    return Inspection(
        architecture=architecture,
        scheme=finding.scheme,
        file_format=file_format,
        parameters=parameters,
        weight_bytes=weight_bytes,
        effective_bits=weight_bytes * 8 / parameters,
        tensors=len(tensors),
        formats=dict(formats),
        warnings=(*warnings, *finding.warnings),
    )


def _check_config(inspection: Inspection, weights: Sequence[Weight], label: str) -> tuple[str, ...]:
    """Return warnings about a configuration that describes another number of parameters; raises when some are missing."""
    architecture = inspection.architecture
    if architecture is None:
        return ()
    layers = {int(match[1]) for match in (_LAYER.search(weight.name) for weight in weights) if match}
    if layers and len(layers) < architecture.layers:
        raise InvalidFile(
            label,
            "num_hidden_layers",
            f"describes {architecture.layers} layers, the tensors have {len(layers)}",
        )
    table = next((w for w in weights if w.name.endswith(("embed_tokens.weight", "token_embd.weight"))), None)
    expected_shape = (architecture.vocab_size, architecture.hidden_size)
    if table is not None and table.shape is not None and table.shape != expected_shape:
        raise InvalidFile(
            label,
            "vocab_size",
            f"with hidden_size describes an embedding of {list(expected_shape)}, `{table.name}` is {list(table.shape)}",
        )
    if not supports_exact_count(architecture):
        return ()
    expected = architecture.parameters
    if inspection.parameters < expected * (1 - _MISSING_SHARE):
        raise InvalidFile(
            label,
            "",
            f"describes {expected} parameters, the tensors hold {inspection.parameters}: weights are missing",
        )
    if inspection.parameters != expected:
        return (f"{label} describes {expected} parameters, the tensors hold {inspection.parameters}",)
    return ()


def _card(files: Mapping[str, Path]) -> dict[str, str]:
    if "README.md" not in files:
        return {}
    with open_regular(files["README.md"], "README.md") as file:
        return model_card.front_matter(file.read(1 << 16))


def _license(card: Mapping[str, str]) -> str | None:
    license_id = card.get("license")
    return card.get("license_name", license_id) if license_id == "other" else license_id
