"""Index: everything a question is answered from, immutable and laid out for scanning.

Records are sorted by id when the index is built, so the order they come in never changes an answer. Facts that a scan
needs are NumPy columns; the records themselves are kept for the few candidates that are shown.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from threading import Lock
from types import MappingProxyType
from typing import Final, Self

import numpy as np

from planner.choose.language.vocabulary import Vocabulary
from planner.choose.layout import layout_of_index
from planner.choose.losses import Losses, is_baseline, loss_columns
from planner.choose.standing import Standing
from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.lifecycle import VariantState
from planner.domain.loss import LossKind
from planner.domain.model import Model
from planner.domain.profile import Profile
from planner.domain.runtime import canonical
from planner.domain.scenario import ModelSelector, Preset
from planner.domain.variant import FileFormat, Variant
from planner.errors import InvalidInput, NotFound
from planner.estimate.columns import Booleans, Columns, Floats, Integers, columns_of
from planner.estimate.evidence import DeviceEvidence, gather_evidence
from planner.estimate.priors import runtime_code
from planner.estimate.siblings import run_key

MAX_CACHED_TASKS: Final = 64
"""Loss columns kept for tasks that questions name; the oldest makes room."""
MAX_CACHED_SELECTORS: Final = 256
"""Answers kept to which models are meant; the oldest makes room."""

LOADED_BY: Final[Mapping[FileFormat, frozenset[str]]] = {
    FileFormat.SAFETENSORS: frozenset({"transformers", "vllm", "sglang", "tgi"}),
    FileFormat.GGUF: frozenset({"llama.cpp", "ollama"}),
    FileFormat.UNKNOWN: frozenset(),
}
"""Runtimes that generally load a file format, for variants of which no runtime is recorded."""


class Index:
    """Variants, their evidence and the hardware they may run on. Made by `Index.build`; never changed afterwards."""

    def __init__(
        self,
        *,
        models: Mapping[str, Model],
        variants: Mapping[str, Variant],
        evaluations: Mapping[str, Sequence[Evaluation]],
        profiles: Mapping[str, Sequence[Profile]],
        devices: Mapping[str, Device],
        presets: Mapping[str, Preset],
        revision: int,
        states: Iterable[VariantState] = (),
    ) -> None:
        self.models: Final = models
        self.variants: Final = variants
        self.devices: Final = devices
        self.presets: Final = presets
        self.revision: Final = revision
        self.records: Final = tuple(variants.values())
        """Variants by row."""
        self.row_models: Final = tuple(models[variant.model_id] for variant in self.records)
        self.rows: Final = {variant.id: row for row, variant in enumerate(self.records)}
        self.standing: Final = Standing(self.records, states)
        self._evaluations = tuple(tuple(evaluations.get(variant.id, ())) for variant in self.records)
        self._profiles = profiles
        self._lock = Lock()
        self._losses: dict[tuple[LossKind, str | None], Losses] = {}
        self._evidence: dict[str, DeviceEvidence] = {}
        self._recorded: dict[str, Integers] = {}
        self._meant: dict[ModelSelector, Booleans] = {}
        self._build_columns()
        for kind in LossKind:
            self.losses(kind, None)

    @classmethod
    def build(
        cls,
        *,
        models: Iterable[Model],
        variants: Iterable[Variant],
        evaluations: Iterable[Evaluation] = (),
        profiles: Iterable[Profile] = (),
        devices: Iterable[Device] = (),
        presets: Iterable[Preset] = (),
        revision: int = 0,
        states: Iterable[VariantState] = (),
    ) -> Self:
        """Return the index of these records. Raises InvalidInput for a variant whose model is not among them."""
        known_models = {model.id: model for model in sorted(models, key=lambda model: model.id)}
        known = {variant.id: variant for variant in sorted(variants, key=lambda variant: variant.id)}
        for variant in known.values():
            if variant.model_id not in known_models:
                raise InvalidInput(
                    "variants",
                    f"{variant.id} is of the unknown model {variant.model_id}",
                    allowed="known models",
                )
        by_variant: dict[str, list[Evaluation]] = {}
        for evaluation in sorted(evaluations, key=lambda evaluation: evaluation.id):
            by_variant.setdefault(evaluation.variant_id, []).append(evaluation)
        by_device: dict[str, list[Profile]] = {}
        for profile in sorted(profiles, key=lambda profile: profile.id):
            by_device.setdefault(profile.device_id, []).append(profile)
        return cls(
            models=MappingProxyType(known_models),
            variants=MappingProxyType(known),
            evaluations=by_variant,
            profiles=by_device,
            devices=MappingProxyType({d.id: d for d in sorted(devices, key=lambda device: device.id)}),
            presets=MappingProxyType({preset.id: preset for preset in presets}),
            revision=revision,
            states=states,
        )

    def _build_columns(self) -> None:
        records, models = self.records, self.row_models
        self.columns: Columns = columns_of(
            (model.architecture, variant.weight_bytes, variant.scheme, _runtime_of(variant))
            for variant, model in zip(records, models, strict=True)
        )
        model_ids = tuple(self.models)
        position = {model_id: code for code, model_id in enumerate(model_ids)}
        self.model_list = tuple(self.models.values())
        self.model: Integers = np.array([position[v.model_id] for v in records], dtype=np.int64)
        """Position in `model_list` of each row's model."""
        schemes = {variant.scheme: None for variant in records}
        self.schemes = tuple(schemes)
        codes = {scheme: code for code, scheme in enumerate(self.schemes)}
        self.scheme: Integers = np.array([codes[v.scheme] for v in records], dtype=np.int64)
        """Position in `schemes` of each row's scheme."""
        formats = tuple(FileFormat)
        self.file_format: Integers = np.array([formats.index(v.file_format) for v in records], dtype=np.int64)
        self.fetchable: Booleans = np.array([v.is_fetchable for v in records], dtype=np.bool_)
        self.baseline: Booleans = np.array(
            [is_baseline(v, m) for v, m in zip(records, models, strict=True)], dtype=np.bool_
        )
        disk = [v.disk_bytes for v in records]
        self.disk_bytes: Floats = np.array(
            [v.weight_bytes.value if d is None else d for v, d in zip(records, disk, strict=True)],
            dtype=np.float64,
        )
        """Bytes of the files, or of the weights alone where the files are not held."""
        self.parameters: Floats = np.array([m.parameters for m in models], dtype=np.float64)
        self.bits: Floats = np.array(
            [
                v.effective_bits or v.weight_bytes.value * 8 / (v.parameters or m.parameters)
                for v, m in zip(records, models, strict=True)
            ],
            dtype=np.float64,
        )
        proven: dict[str, set[str]] = {}
        for profile in (profile for own in self._profiles.values() for profile in own):
            if profile.synthetic_weights:
                continue  # made, not loaded from the variant's files
            proven.setdefault(profile.variant_id, set()).add(canonical(profile.runtime.name))
        loaders = [
            (frozenset(canonical(name) for name in v.runtimes), frozenset(proven.get(v.id, ())))
            for v in records
        ]
        self._loader_sets = tuple(dict.fromkeys(loaders))
        loader_codes = {pair: code for code, pair in enumerate(self._loader_sets)}
        self._loaders: Integers = np.array([loader_codes[pair] for pair in loaders], dtype=np.int64)
        self.layout = layout_of_index(self, self._loaders)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Every name a question may use."""
        tasks = {evaluation.task for own in self._evaluations for evaluation in own}
        return Vocabulary.build(
            self.models.values(), self.devices.values(), self.presets.values(), sorted(tasks)
        )

    def __len__(self) -> int:
        return len(self.records)

    def evaluations_of(self, row: int) -> tuple[Evaluation, ...]:
        """Return the evaluations of the variant in `row`."""
        return self._evaluations[row]

    def losses(self, kind: LossKind, task: str | None) -> Losses:
        """Return the loss columns of a kind and task, kept for the next question that asks for them."""
        key = (kind, None if task is None else task.casefold())
        with self._lock:
            if key in self._losses:
                return self._losses[key]
        found = loss_columns(self.records, self.row_models, self._evaluations, kind=kind, task=task)
        with self._lock:
            if len(self._losses) >= MAX_CACHED_TASKS:
                oldest = next((known for known in self._losses if known[1] is not None), None)
                if oldest is not None:
                    del self._losses[oldest]
            self._losses[key] = found
        return found

    def evidence(self, device: Device) -> DeviceEvidence | None:
        """Return the evidence recorded on a device type, None when there is none."""
        profiles = self._profiles.get(device.id)
        if not profiles:
            return None
        with self._lock:
            if device.id in self._evidence:
                return self._evidence[device.id]
        found = gather_evidence(profiles, device, self.rows, self._siblings(profiles), self.columns)
        with self._lock:
            self._evidence[device.id] = found
        return found

    def meant_by(self, selector: ModelSelector) -> Booleans:
        """Return by position in `model_list` whether a selector means the model, kept for the next question."""
        with self._lock:
            if selector in self._meant:
                return self._meant[selector]
        found: Booleans = np.array([selector.selects(model) for model in self.model_list], dtype=np.bool_)
        with self._lock:
            if len(self._meant) >= MAX_CACHED_SELECTORS:
                del self._meant[next(iter(self._meant))]
            self._meant[selector] = found
        return found

    def recorded_rows(self, device: Device) -> Integers:
        """Return the rows of which something was recorded on a device type, ascending."""
        evidence = self.evidence(device)
        if evidence is None:
            return np.zeros(0, dtype=np.int64)
        if device.id not in self._recorded:
            self._recorded[device.id] = np.unique(evidence.points.row)
        return self._recorded[device.id]

    def _siblings(self, profiles: Iterable[Profile]) -> dict[str, tuple[int, ...]]:
        """Return the other rows that run like the variants whose profiles were taken on synthetic weights."""
        wanted = {p.variant_id for p in profiles if p.synthetic_weights and p.variant_id in self.rows}
        if not wanted:
            return {}
        alike: dict[Hashable, list[int]] = {}
        keys = [
            run_key(model.architecture, variant)
            for model, variant in zip(self.row_models, self.records, strict=True)
        ]
        for row, key in enumerate(keys):
            if key is not None:
                alike.setdefault(key, []).append(row)
        return {
            identity: tuple(
                row for row in alike.get(keys[self.rows[identity]], ()) if row != self.rows[identity]
            )
            for identity in wanted
        }

    def schemes_where(self, admitted: Sequence[bool]) -> Booleans:
        """Return by row whether its scheme is admitted, given for each of `schemes`."""
        return np.array(admitted, dtype=np.bool_)[self.scheme]

    def loads_under(self, name: str) -> tuple[Booleans, Booleans]:
        """Return by row whether a runtime loads the variant, and whether that is recorded rather than inferred.

        A runtime is recorded with the variant or proven by a profile; with none recorded, the file format decides.
        """
        recorded = np.array(
            [name in known or name in proven for known, proven in self._loader_sets], dtype=np.bool_
        )[self._loaders]
        unknown = np.array([not known for known, _ in self._loader_sets], dtype=np.bool_)[self._loaders]
        by_format = np.array([name in LOADED_BY[f] for f in FileFormat], dtype=np.bool_)
        return recorded | (unknown & by_format[self.file_format]), recorded

    def device(self, name: str) -> Device:
        """Return the device with this id, or called so by exactly one device. Raises NotFound with the nearest names."""
        if name in self.devices:
            return self.devices[name]
        wanted = name.casefold()
        called = [device for device in self.devices.values() if wanted in device.names()]
        if len(called) == 1:
            return called[0]
        raise NotFound("device", name, nearest=_nearest(wanted, self.devices))

    def nearest_models(self, name: str) -> tuple[str, ...]:
        """Return the ids of models that are called most like `name`."""
        return _nearest(name.casefold(), self.models)

    def row_of(self, name: str) -> int:
        """Return the row of the variant with this id, or called so by exactly one. Raises NotFound with the nearest."""
        if name in self.rows:
            return self.rows[name]
        called = [
            row for row, variant in enumerate(self.records) if name in {variant.name, _long_name(variant)}
        ]
        if len(called) == 1:
            return called[0]
        nearest = tuple(_long_name(self.records[row]) for row in called[:3])
        raise NotFound(
            "variant", name, nearest=nearest or _nearest(name, (_long_name(v) for v in self.records))
        )


def _long_name(variant: Variant) -> str:
    return f"{variant.model_id}/{variant.name}"


def _nearest(name: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(difflib.get_close_matches(name, list(names), n=3, cutoff=0.5))


def _runtime_of(variant: Variant) -> int:
    """Return whose memory priors hold when no runtime is asked for: GGUF files are run by llama.cpp."""
    return runtime_code("llama.cpp" if variant.file_format is FileFormat.GGUF else None)
