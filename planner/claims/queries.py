"""Questions to the evidence: each finds the figures of one kind, in the unit it is judged in, a row for each of them."""

from planner.claims.losses import Loss, LossDifference
from planner.claims.sizes import BuildFact, ParameterBytes, WeightBytes, WeightsOf
from planner.claims.speeds import BatchingGain, RuntimeGain, Seconds, Speedup, SplitGain

Query = (
    ParameterBytes
    | WeightBytes
    | WeightsOf
    | BuildFact
    | Loss
    | LossDifference
    | Seconds
    | Speedup
    | RuntimeGain
    | BatchingGain
    | SplitGain
)

__all__ = [
    "BatchingGain",
    "BuildFact",
    "Loss",
    "LossDifference",
    "ParameterBytes",
    "Query",
    "RuntimeGain",
    "Seconds",
    "Speedup",
    "SplitGain",
    "WeightBytes",
    "WeightsOf",
]
