"""Plans and locks to deploy, answered by the real planner over a few hand-made records."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec

from planner.choose.index import Index
from planner.choose.planner import make_plan
from planner.deploy.lock import Lock
from planner.deploy.locking import make_lock
from planner.domain.constraint import SchemeFilter
from planner.domain.device import Device, DeviceKind, Peak
from planner.domain.model import Model
from planner.domain.outcome import Plan, Recommended
from planner.domain.scenario import Hardware, ModelSelector, Scenario, SelectorKind
from planner.domain.scheme import NumberFormat, Precision
from planner.domain.units import GIB
from planner.domain.variant import Artifact, FileFormat, Variant, manifest_digest
from planner.domain.workload import Workload
from tests.choose.records import LLAMA_3_8B, model, variant

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = model("llama-3-8b", LLAMA_3_8B, 8, family="Llama-3", license_text="Llama 3 Community License")
GPU = Device(
    id="gpu-80", name="Test GPU 80GB", kind=DeviceKind.GPU, vendor="NVIDIA", memory_bytes=80 * GIB,
    usable_bytes=79 * GIB, bandwidth_bytes_per_second=3e12, peak=Peak(bf16=9e14), compute_capability="9.0",
)  # fmt: skip
CPU = Device(id="cpu-64", name="Test CPU", kind=DeviceKind.CPU, vendor="AMD", memory_bytes=64 * GIB)
WORKLOAD = Workload(input_tokens=2000, output_tokens=500, concurrency=8)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def with_files(base: Variant, *paths: str) -> Variant:
    """Return the variant with these files, sharing its weights' size."""
    size = round(base.weight_bytes.value) // len(paths)
    files = tuple(Artifact(path=path, size=size, sha256=sha(base.name + path)) for path in paths)
    return msgspec.structs.replace(base, artifacts=files, id=manifest_digest(files))


BF16 = with_files(variant(MODEL, "bf16"), "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")  # fmt: skip
FP8_CACHE = with_files(variant(MODEL, "int4-kv8"), "config.json", "model.safetensors")
GGUF = with_files(variant(MODEL, "q4_k_m", runtimes=("llama.cpp",)), "b-00002-of-00002.gguf", "b-00001-of-00002.gguf")  # fmt: skip
GGUF_Q8_CACHE = with_files(
    msgspec.structs.replace(
        variant(MODEL, "q4_k_m", salt=1),
        scheme=msgspec.structs.replace(GGUF.scheme, kv=Precision(format=NumberFormat.Q8_0)),
    ),
    "model.gguf",
)
NF4 = with_files(
    msgspec.structs.replace(
        variant(MODEL, "int4-g128", salt=2),
        name="llama-3-8b-nf4",
        scheme=msgspec.structs.replace(
            FP8_CACHE.scheme, weight=Precision(format=NumberFormat.NF4, group_size=64), kv=None
        ),
    ),
    "model.safetensors",
)
PUBLISHED = variant(MODEL, "int4-g128", held=False)
UNKNOWN = msgspec.structs.replace(
    variant(MODEL, "int4-g32", held=False, name="unknown-form"), file_format=FileFormat.UNKNOWN
)


def scenario(
    *, hardware: Hardware | None, workload: Workload = WORKLOAD, schemes: tuple[str, ...] = ()
) -> Scenario:
    return Scenario(
        model=ModelSelector(kind=SelectorKind.MODEL, value=MODEL.id),
        hardware=hardware,
        workload=workload,
        constraints=(SchemeFilter(words=schemes),) if schemes else (),
    )


ON_GPU = Hardware(device_id=GPU.id)


def index_of(*variants: Variant, revision: int = 7, model: Model = MODEL) -> Index:
    return Index.build(models=(model,), variants=variants, devices=(GPU, CPU), revision=revision)


def plan_of(*variants: Variant, hardware: Hardware | None = ON_GPU, workload: Workload = WORKLOAD) -> Plan:
    made = make_plan(
        scenario(hardware=hardware, workload=workload),
        index_of(*variants),
        plan_id="0198c0de-0000-7000-8000-000000000001",
        now=NOW,
        version="9.9.9",
        query="a question",
    )
    assert isinstance(made.result, Recommended)
    return made


def lock_of(
    of: Variant,
    *,
    hardware: Hardware | None = ON_GPU,
    workload: Workload = WORKLOAD,
    runtime: str | None = None,
    device: Device | None = GPU,
) -> Lock:
    named = device if hardware is not None and hardware.device_id is not None else None
    return make_lock(plan_of(of, hardware=hardware, workload=workload), of, MODEL, named, runtime=runtime)
