"""The twenty claims of a widely read comparison of "full" and "quantized" models, in our words, and what would test each.

The ranges are the account's own; where it says "about", a tenth to either side is allowed and the part says so.
"""

from __future__ import annotations

from typing import Final

from planner.claims.evidence import Which
from planner.claims.judgement import Claim, Part, Statistic
from planner.claims.queries import (
    BatchingGain,
    BuildFact,
    Loss,
    LossDifference,
    ParameterBytes,
    RuntimeGain,
    Seconds,
    Speedup,
    SplitGain,
    WeightBytes,
    WeightsOf,
)
from planner.domain.scheme import ActivationScaling, NumberFormat

_13B: Final = ("llama-2-13b",)
_A100: Final = ("a100-40gb", "a100-80gb-pcie", "a100-80gb-sxm")
_INT8: Final = Which(formats=(NumberFormat.INT8,))
_4BIT: Final = Which(bits=(4,))
_8BIT: Final = (NumberFormat.INT8, NumberFormat.FP8)
_QUANTIZED: Final = Which(reference=False, attention=False, bits=(1, 2, 3, 4, 5, 6, 8))
_ROUNDED: Final = Which(methods=("rtn",), no_methods=("opt-rtn",), mixed=False)
_STATIC: Final = Which(formats=_8BIT, scaling=ActivationScaling.STATIC)
_DYNAMIC: Final = Which(formats=_8BIT, scaling=ActivationScaling.DYNAMIC)
_QAT: Final = Which(methods=("qat",), no_methods=("distilled",))
_FP8: Final = Which(formats=(NumberFormat.FP8,))
_HIGH_STAKES: Final = ("legal", "law", "med", "diagnos", "clinic")

CLAIMS: Final = (
    Claim(
        number=1,
        title="Memory of full precision",
        says="A 13B model in FP32 takes 52 GB, elsewhere “at least 24 GB”; a 65B takes 100 GB and more.",
        parts=(
            Part(says="13B in FP32 takes 52 GB", unit="GB", least=51, most=53, query=ParameterBytes(models=_13B, bits=32)),
            Part(
                says="24 GB are enough for 13B in FP32", unit="GB", most=24, query=ParameterBytes(models=_13B, bits=32),
                remark="24 is the size of its 16-bit weights in GiB",
            ),
            Part(
                says="65B takes 100 GB and more", unit="GB", least=100, statistic=Statistic.LEAST,
                query=WeightBytes(which=Which(models=("llama-1-65b",), reference=True)),
                remark="the released 16-bit weights, the smaller of the two readings",
            ),
        ),
    ),
    Claim(
        number=2,
        title="Latency of full precision",
        says="Full precision answers in 500 to 800 ms on an A100.",
        parts=(
            Part(
                says="an answer takes 500 to 800 ms", unit="ms", least=500, most=800,
                query=Seconds(which=Which(reference=True, least_parameters=5e9), devices=_A100, whole=True),
                remark="without a length the number means nothing: every workload that was timed counts, for models of 5B and more",
            ),
        ),
    ),
    Claim(
        number=3,
        title="Memory of INT8",
        says="INT8 13B takes 13 GB, elsewhere 6 GB, and fits an RTX 3090 or a Jetson AGX.",
        parts=(
            Part(
                says="13B in INT8 takes 13 GB", unit="GB", least=12.5, most=13.5,
                query=WeightBytes(which=Which(models=_13B, formats=(NumberFormat.INT8,), attention=False)),
            ),
            Part(
                says="13B in INT8 takes 6 GB", unit="GB", most=7,
                query=WeightBytes(which=Which(models=_13B, formats=(NumberFormat.INT8,), attention=False)),
                remark="6 to 8 GB is a 4-bit file",
            ),
            Part(
                says="it fits an RTX 3090 and a Jetson AGX", unit="%", most=90, statistic=Statistic.MOST,
                query=WeightsOf(
                    which=Which(models=_13B, formats=(NumberFormat.INT8,)),
                    devices=("rtx-3090", "jetson-agx-orin-32gb", "jetson-agx-xavier-32gb"),
                ),
                remark="weights as a share of the memory, leaving a tenth for everything else",
            ),
        ),
    ),
    Claim(
        number=4,
        title="INT4 at the edge",
        says="INT4 runs on a Raspberry Pi 5 or a phone's NPU.",
        parts=(
            Part(
                says="4 bits run on a Raspberry Pi 5", unit="ms a token",
                query=Seconds(which=_4BIT, devices=("raspberry-pi-5-8gb", "raspberry-pi-5-16gb")),
            ),
            Part(
                says="4 bits run on a phone", unit="ms a token", query=Seconds(which=_4BIT, devices=("oneplus-12",)),
                remark="on its CPU", beside=True,
            ),
            Part(says="4 bits run on a phone's NPU", unit="ms a token", query=None, remark="no NPU is among the devices"),
        ),
    ),
    Claim(
        number=5,
        title="Shrinking",
        says="FP32 to INT8 or INT4 shrinks a model by 75 to 90 % and costs 0.5 to 2 % of accuracy.",
        parts=(
            Part(
                says="INT8 shrinks by 75 to 90 %", unit="%", least=75, most=90,
                query=WeightBytes(which=Which(models=_13B, formats=(NumberFormat.INT8,)), as_reduction=True),
                remark="75 % is the ceiling, reached only without scales and 16-bit embeddings",
            ),
            Part(
                says="INT4 shrinks by 75 to 90 %", unit="%", least=75, most=90,
                query=WeightBytes(which=Which(models=_13B, formats=(NumberFormat.INT4,)), as_reduction=True),
            ),
            Part(says="INT8 loses 0.5 to 2 %", unit="%", least=0.5, most=2, query=Loss(which=_INT8)),
            Part(
                says="INT4 loses 0.5 to 2 %", unit="%", least=0.5, most=2,
                query=Loss(which=Which(formats=(NumberFormat.INT4,), weight_only=True)),
            ),
        ),
    ),
    Claim(
        number=6,
        title="Affine quantization as sketched",
        says="Affine quantization is one scale and one zero point per tensor.",
        parts=(
            Part(
                says="one scale per tensor loses no more than one per row at FP8", unit="points", most=0,
                query=LossDifference(
                    which=Which(formats=(NumberFormat.FP8,), names=("per-tensor",)),
                    other=Which(formats=(NumberFormat.FP8,), scaling=ActivationScaling.DYNAMIC),
                ),
            ),
            Part(
                says="one scale per row loses no more than one per group at 4 bits", unit="points", most=0,
                query=LossDifference(
                    which=Which(formats=(NumberFormat.INT4,), grouped=False, methods=("rtn",), weight_only=True),
                    other=Which(formats=(NumberFormat.INT4,), grouped=True, methods=("rtn",), weight_only=True),
                ),
                remark="nobody ships one scale per tensor at 4 bits; per row is the coarsest there is",
            ),
        ),
    ),
    Claim(
        number=7,
        title="Optimized runtime",
        says="An optimized runtime is 3 to 5 times as fast (800 ms become 200).",
        parts=(
            Part(
                says="3 to 5 times as fast as transformers", unit="×", least=3, most=5,
                query=RuntimeGain(which=Which(least_parameters=5e9), than="transformers"),
                remark="the same variant on the same device, models of 5B and more",
            ),
        ),
    ),
    Claim(
        number=8,
        title="Static quantization",
        says="Static quantization loses 1.5 to 2 % and is 3 to 4 times as fast.",
        parts=(
            Part(says="it loses 1.5 to 2 %", unit="%", least=1.5, most=2, query=Loss(which=_STATIC)),
            Part(says="it is 3 to 4 times as fast", unit="×", least=3, most=4, query=Speedup(which=_STATIC)),
        ),
    ),
    Claim(
        number=9,
        title="Dynamic quantization",
        says="Dynamic quantization loses 0.8 to 1.2 % and is 2 to 3 times as fast.",
        parts=(
            Part(says="it loses 0.8 to 1.2 %", unit="%", least=0.8, most=1.2, query=Loss(which=_DYNAMIC)),
            Part(says="it is 2 to 3 times as fast", unit="×", least=2, most=3, query=Speedup(which=_DYNAMIC)),
        ),
    ),
    Claim(
        number=10,
        title="Quantization-aware training",
        says="Quantization-aware training loses under 0.5 % and is 1.5 to 2 times as fast.",
        parts=(
            Part(says="it loses under 0.5 %", unit="%", most=0.5, query=Loss(which=_QAT)),
            Part(
                says="it loses less than plain rounding", unit="points", most=0,
                query=LossDifference(which=_QAT, other=_ROUNDED, same_groups=True),
                beside=True,
            ),
            Part(says="it is 1.5 to 2 times as fast", unit="×", least=1.5, most=2, query=Speedup(which=_QAT)),
        ),
    ),
    Claim(
        number=11,
        title="High stakes",
        says="On high-stakes tasks (law, diagnosis) full precision is 1.2 to 3.5 % better in F1.",
        parts=(
            Part(
                says="quantized models lose 1.2 to 3.5 % of F1", unit="%", least=1.2, most=3.5,
                query=Loss(which=_QUANTIZED, metrics=("f1",), tasks=_HIGH_STAKES),
                remark="until a figure exists, the preset `high-stakes` accepts the baseline and certified losses only",
            ),
        ),
    ),
    Claim(
        number=12,
        title="Latency",
        says="Quantization cuts latency by 60 to 75 %.",
        parts=(
            Part(
                says="time falls by 60 to 75 %", unit="%", least=60, most=75, query=Speedup(which=_QUANTIZED, as_cut=True),
                remark="a token, or a whole answer, of one request, against 16 bits in the same source",
            ),
            Part(
                says="the best case", beside=True, unit="%", least=60, most=75, statistic=Statistic.MOST,
                query=Speedup(which=_QUANTIZED, as_cut=True),
            ),
        ),
    ),
    Claim(
        number=13,
        title="Mixed precision",
        says="Keep sensitive layers, such as attention, in FP16 and the rest in INT8.",
        parts=(
            Part(
                says="a mix that spends more bytes loses less than the same format throughout", unit="points", most=0,
                query=LossDifference(which=Which(mixed=True, no_methods=("hqq",)), other=_ROUNDED, not_smaller=True),
            ),
            Part(
                says="moving bits to sensitive layers loses less at 3 bits", beside=True, unit="points", most=0,
                query=LossDifference(which=Which(names=("dq3_k_m",)), other=Which(names=("-q3_k_m",))),
            ),
        ),
    ),
    Claim(
        number=14,
        title="Distillation",
        says="Distilling the full model into the quantized one adds 0.8 % (of BLEU).",
        parts=(
            Part(
                says="distilling loses less than plain rounding, by 0.8 points", unit="points", most=-0.8,
                query=LossDifference(which=Which(methods=("distilled",)), other=_ROUNDED, same_groups=True),
                remark="relative loss in the place of BLEU",
            ),
            Part(
                says="together with quantization-aware training it loses less than that alone", unit="points", most=0,
                query=LossDifference(
                    which=Which(methods=("qat-distilled",)), other=_QAT
                ),
                beside=True,
            ),
        ),
    ),
    Claim(
        number=15,
        title="Batching",
        says="Dynamic batching raises throughput, on edge devices too.",
        parts=(
            Part(
                says="continuous batching raises throughput", unit="×", least=1, query=BatchingGain(which=Which(), modes=("continuous", "serving")),
            ),
            Part(
                says="static batching raises throughput", beside=True, unit="×", least=1,
                query=BatchingGain(which=Which(), modes=(None, "eager", "compiled")),
            ),
            Part(
                says="static batching raises it on edge boards", beside=True, unit="×", least=1,
                query=BatchingGain(which=Which(), modes=(None, "eager", "compiled"), boards=True),
            ),
            Part(says="continuous batching raises it on edge boards", unit="×", least=1,
                query=BatchingGain(which=Which(), modes=("continuous", "serving"), boards=True)),
        ),
    ),
    Claim(
        number=16,
        title="Model parallelism",
        says="Split a 65B model over several cards.",
        parts=(
            Part(
                says="on twice as many cards a token takes less time", unit="×", least=1,
                query=SplitGain(which=Which(reference=True, least_parameters=60e9)),
                remark="models of 60B and more, at 16 bits",
            ),
        ),
    ),
    Claim(
        number=17,
        title="Gradient checkpointing",
        says="Gradient checkpointing saves about 40 % of memory for about 20 % more compute.",
        parts=(
            Part(
                says="it saves about 40 % of memory", unit="%", least=30, most=50,
                query=BuildFact(key="checkpointing.memory_saved_share", scale=100), remark="a tenth to either side",
            ),
            Part(
                says="it costs about 20 % more time", unit="%", least=10, most=30,
                query=BuildFact(key="checkpointing.extra_time_share", scale=100), remark="a tenth to either side",
            ),
        ),
    ),
    Claim(
        number=18,
        title="Sparse attention",
        says="Sparse attention with the top 32 keys is 1.8 times as fast.",
        parts=(
            Part(
                says="it is about 1.8 times as fast", unit="×", least=1.62, most=1.98,
                query=Speedup(which=Which(attention=True)), remark="a tenth to either side",
            ),
            Part(says="it loses under 1 %", unit="%", most=1, query=Loss(which=Which(attention=True)), beside=True),
        ),
    ),
    Claim(
        number=19,
        title="FP8 and adaptive quantization",
        says="FP8 and adaptive quantization keep 99 % of accuracy at 80 % of full-model performance.",
        parts=(
            Part(says="FP8 loses at most 1 %", unit="%", most=1, query=Loss(which=_FP8)),
            Part(
                says="FP8 runs at 80 % of full speed", unit="×", least=0.7, most=0.9, query=Speedup(which=_FP8),
                remark="a tenth to either side",
            ),
            Part(says="an adaptive mix loses at most 1 %", unit="%", most=1, query=Loss(which=Which(mixed=True, methods=("rtn",)))),
        ),
    ),
    Claim(
        number=20,
        title="Which for what",
        says="Full models for research, high-value decisions and batch jobs; quantized ones for edge, real time and low cost.",
        parts=(
            Part(
                says="the two sorts of work need the two sorts of model", unit="", query=None,
                remark="a rule of thumb, not a measurement: the presets `research`, `high-stakes`, `offline-batch`, "
                "`edge-device`, `realtime-chat` and `low-cost` turn it into constraints that are checked against evidence, "
                "and often a quantized variant satisfies the first three as well",
            ),
        ),
    ),
)  # fmt: skip
