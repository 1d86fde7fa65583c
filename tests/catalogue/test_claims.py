"""The bold figures of docs/claims.md are what the catalogue really says, row by row and in order."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import mean, median

import pytest

from planner.catalogue import load_catalogue
from planner.domain.units import GIB

PAGE = Path(__file__).resolve().parents[2] / "docs" / "claims.md"
BOLD = re.compile(r"\*\*(.+?)\*\*")


class Evidence:
    """Short ways to the figures of the catalogue."""

    def __init__(self):
        self.catalogue = load_catalogue()
        self.parameters = {m.id: m.parameters for m in self.catalogue.models}
        self.variants = {v.id.removeprefix("published:"): v for v in self.catalogue.variants}

    def bytes(self, path):
        return self.variants[path].weight_bytes.value

    def points(self, path, device, source, *, devices=1, runtime=None):
        found = [
            point
            for p in self.catalogue.profiles
            if (p.variant_id, p.devices) == (f"published:{path}", devices)
            and p.device_id == device
            and f"#{source}/" in p.id
            and runtime in {None, p.runtime.name}
            and "irregular" not in (p.doubt or "")
            for point in p.points
        ]
        assert found, (path, device, source)
        return found

    def tpot(self, path, device, source, *, devices=1, at=1, out=None, runtime=None):
        return next(
            p.tpot_seconds.mean * 1000
            for p in self.points(path, device, source, devices=devices, runtime=runtime)
            if p.tpot_seconds and p.workload.concurrency == at and out in {None, p.workload.output_tokens}
        )

    def end_to_end(self, path, device, shape):
        return next(
            p.end_to_end_seconds.mean
            for p in self.points(path, device, "redhat_llama8b_w8a8")
            if (p.workload.input_tokens, p.workload.output_tokens) == shape
        )

    def rate(self, path, at):
        return next(
            p.output_tokens_per_second.mean
            for p in self.points(path, "h200-sxm", "modelopt")
            if p.workload.concurrency == at
        )

    def best_cut(self):
        """Return the largest cut in time per token of a quantized build against a 16-bit one, all else equal."""
        times: dict[tuple[object, ...], dict[bool, list[float]]] = {}
        for p in self.catalogue.profiles:
            if "defect" in (p.doubt or ""):
                continue
            source = p.id.partition("#")[2].partition("/")[0]
            v = self.variants[p.variant_id.removeprefix("published:")]
            for point in p.points:
                if point.tpot_seconds is not None:
                    key = (v.model_id, p.device_id, p.devices, str(p.runtime), source, point.workload)
                    times.setdefault(key, {}).setdefault(v.scheme.is_reference, []).append(
                        point.tpot_seconds.mean
                    )
        return max(100 - 100 * min(t[False]) / min(t[True]) for t in times.values() if len(t) == 2)

    def losses(self, source, ending):
        return [
            100 * e.relative_loss.value
            for e in self.catalogue.evaluations
            if f"#{source}/" in e.id and e.variant_id.endswith(ending) and e.doubt is None
        ]


@pytest.fixture(scope="module")
def evidence():
    return Evidence()


@pytest.fixture(scope="module")
def rows():
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"\| (\d+) \| .+? \| (.+) \| .+? \|$", line):
            found[int(match[1])] = BOLD.findall(match[2])
    assert sorted(found) == list(range(1, 21))
    return found


def percent(value, digits=1):
    return f"{value:.{digits}f} %"


def test_sizes(evidence, rows):
    big, huge = evidence.parameters["llama-2-13b"], evidence.parameters["llama-1-65b"]
    assert rows[1] == [
        f"{big * 4 / 1e9:.1f} GB",
        f"{evidence.bytes('llama-2-13b/fp16') / GIB:.1f} GiB",
        f"{huge * 4 / 1e9:.0f} GB",
        f"{evidence.bytes('llama-1-65b/fp16') / 1e9:.0f} GB",
    ]
    int8 = evidence.bytes("llama-2-13b/int8-dynamic-smoothquant")
    assert rows[3] == [f"{int8 / 1e9:.1f} GB", f"{evidence.bytes('llama-2-13b/q4_k_m') / 1e9:.2f} GB"]
    int4 = evidence.bytes("llama-2-13b/int4-g128-gptq")
    assert rows[5][:2] == [percent(100 - 100 * size / (big * 4)) for size in (int8, int4)]


def test_losses(evidence, rows):
    angelslim = {
        name: evidence.losses("angelslim", name)
        for name in ("fp8-static", "fp8-dynamic", "int8-dynamic", "int4-g128-gptq", "int4-g128-awq")
    }
    rtn = {
        scheme: mean(evidence.losses("autoround_paper", f"llama-2-13b/{scheme}-rtn"))
        for scheme in ("int2-g128", "int3-g128", "int4-g128", "int4")
    }
    assert rows[5][2:] == [
        percent(mean(angelslim[name])) for name in ("int8-dynamic", "int4-g128-gptq", "int4-g128-awq")
    ] + [percent(rtn["int3-g128"]), percent(rtn["int2-g128"])]
    per_row, per_tensor = (
        evidence.losses("torchao", f"llama-3.1-8b/{name}")[0]
        for name in ("fp8-dynamic", "fp8-dynamic-per-tensor")
    )
    assert rows[6] == [
        percent(rtn["int4"]), percent(rtn["int4-g128"]), percent(per_row, 2), percent(per_tensor, 2),
    ]  # fmt: skip
    assert rows[8] == [percent(f(angelslim["fp8-static"])) for f in (mean, median)]
    assert rows[9][:3] == [
        percent(mean(angelslim["fp8-dynamic"])),
        percent(median(angelslim["fp8-dynamic"])),
        percent(mean(angelslim["int8-dynamic"])),
    ]
    phone = "{}/instruct-int4-a-int8-dynamic-g32-{}"
    assert rows[10] == [
        percent(mean(evidence.losses("meta_llama32", phone.format(model, method))))
        for method in ("qat-lora", "rtn")
        for model in ("llama-3.2-1b", "llama-3.2-3b")
    ]
    assert rows[13] == [
        percent(mean(evidence.losses("unicom", f"deepseek-r1/{label}"))) for label in ("q3_k_m", "dq3_k_m")
    ]
    assert rows[19] == [
        percent(100 - mean(evidence.losses("redhat_llama70b_fp8", "llama-70b/fp8-dynamic"))),
        percent(100 - mean(angelslim["fp8-static"])),
    ]
    closing = BOLD.findall(PAGE.read_text(encoding="utf-8").partition("**The model decides.**")[2])
    assert closing[:3] == [
        percent(mean(evidence.losses("unicom", "deepseek-r1/q4_k_m"))),
        percent(mean(evidence.losses("redhat_qwen32b_w4a16", "int4-g128-gptq"))),
        percent(mean(evidence.losses("redhat_qwen1.5b_w4a16", "int4-g128-gptq"))),
    ]


def test_speeds(evidence, rows):
    a100, h100 = "a100-80gb-sxm", "h100-sxm"
    full = evidence.tpot("llama-2-13b/fp16", a100, "tinychat")
    distill = "deepseek-r1-distill-llama-8b/{}"
    short, long = (256, 128), (256, 1024)
    assert rows[2] == [
        f"{full:.1f} ms",
        *(f"{evidence.end_to_end(distill.format('bf16'), a100, shape):.1f} s" for shape in (short, long)),
    ]
    phone = "{}/instruct-int4-a-int8-dynamic-g32-spinquant"
    assert rows[4][1:] == [
        f"{evidence.tpot(phone.format(model), 'oneplus-12', 'meta_llama32'):.1f} ms"
        for model in ("llama-3.2-1b", "llama-3.2-3b")
    ]
    awq = evidence.tpot("llama-2-13b/int4-g128-awq", a100, "tinychat")
    fp8 = evidence.rate("llama-3.1-8b/fp8-static", 1) / evidence.rate("llama-3.1-8b/bf16", 1)
    engines = [
        evidence.tpot(f"{model}/bf16", "h20", "qwen3_speed", runtime="transformers")
        / evidence.tpot(f"{model}/bf16", "h20", "qwen3_speed", runtime="sglang")
        for model in ("qwen3-0.6b", "qwen3-8b", "qwen3-14b")
    ]
    assert rows[7] == [*(f"{gain:.1f}×" for gain in engines), f"{full / awq:.1f}×", f"{fp8:.2f}×"]
    slow = evidence.tpot("llama-3-8b/int8-dynamic", a100, "torchao")
    plain = evidence.tpot("llama-3-8b/bf16", a100, "torchao")
    int8 = evidence.end_to_end(distill.format("int8-dynamic-gptq"), a100, long)
    assert rows[9][3:] == [
        f"{slow / plain:.0f} times slower",
        f"{evidence.end_to_end(distill.format('bf16'), a100, long) / int8:.1f}×",
    ]
    cuts = []
    for device in {p.device_id for p in evidence.catalogue.profiles if "#dai_llama3/" in p.id}:
        try:
            pair = [
                evidence.tpot(f"llama-3-8b/{slug}", device, "dai_llama3", out=1024)
                for slug in ("q4_k_m", "f16-gguf")
            ]
        except (AssertionError, StopIteration):
            continue
        cuts.append(100 - 100 * pair[0] / pair[1])
    phones = [
        evidence.tpot(f"llama-3.2-1b/instruct-{slug}", "oneplus-12", "meta_llama32")
        for slug in ("int4-a-int8-dynamic-g32-spinquant", "bf16")
    ]
    assert len(cuts) >= 12
    assert rows[12] == [
        f"{min(cuts):.0f} to {max(cuts):.0f} %",
        f"{100 - 100 * phones[0] / phones[1]:.0f} %",
        *(
            f"{100 - 100 * evidence.end_to_end(distill.format('int4-g128-gptq'), device, short) / evidence.end_to_end(distill.format('bf16'), device, short):.0f} %"
            for device in (a100, h100)
        ),
        f"{evidence.best_cut():.0f} %",
    ]
    assert rows[15] == [
        f"{1000 * at / evidence.tpot(path, device, source, at=at):.0f}"
        for path, device, source, batches in (
            ("llama-2-13b/int4-g128-awq", "rtx-4090", "autoawq", (1, 3)),
            ("qwen3-8b/int4-g128-awq", "jetson-agx-orin-64gb", "trt_edge_llm", (1, 8)),
        )
        for at in batches
    ]
    split = [evidence.tpot("llama-2-70b/fp16", a100, "gptfast", devices=n) for n in (2, 4, 8)]
    assert rows[16] == [f"{split[0]:.1f}", f"{split[1]:.1f}", f"{split[2]:.1f} ms"]
