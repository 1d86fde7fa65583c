"""Support: whether the formats of the rows run on the device and under the runtime asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from planner.choose.index import Index
from planner.choose.losses import CODE
from planner.choose.setting import Setting
from planner.domain.constraint import RuntimeFilter
from planner.domain.outcome import Verdict
from planner.domain.support import SupportVerdict, capability_of, supported
from planner.estimate.columns import Integers
from planner.estimate.evidence import DeviceEvidence

SUPPORT = "support"
_supported: Final = lru_cache(maxsize=4096)(supported)
_capability: Final = lru_cache(maxsize=256)(capability_of)


def support_of(index: Index, setting: Setting, row: int) -> SupportVerdict:
    """Return whether the format of one row runs, and what to know about it."""
    return _verdict(index, setting, int(index.scheme[row]))


def _verdict(index: Index, setting: Setting, scheme: int) -> SupportVerdict:
    device = setting.device
    capability = _capability(device.compute_capability) if device else None
    asked = next((c for c in setting.scenario.constraints if isinstance(c, RuntimeFilter)), None)
    version = asked.version if asked else None
    return _supported(index.schemes[scheme], capability=capability, runtime=setting.engine, version=version)


def asked_of(setting: Setting) -> str:
    """Return the question in words."""
    asked = next((c for c in setting.scenario.constraints if isinstance(c, RuntimeFilter)), None)
    under = f" under {asked.name} {asked.version}" if asked and asked.version else ""
    return f"format runs on {setting.device.name}{under}" if setting.device else f"format runs{under}"


def judge_support(
    index: Index, setting: Setting, rows: Integers, evidence: DeviceEvidence | None
) -> Integers | None:
    """Return verdict codes of `rows`; None when neither a compute capability nor a version of a runtime is known.

    What was recorded on the device runs there, whatever the table says.
    """
    asked = next((c for c in setting.scenario.constraints if isinstance(c, RuntimeFilter)), None)
    versioned = asked is not None and asked.version is not None
    if not versioned and (setting.device is None or setting.device.compute_capability is None):
        return None
    by_scheme = np.array(
        [
            CODE[Verdict.MET if _verdict(index, setting, code).runs else Verdict.VIOLATED]
            for code in range(len(index.schemes))
        ],
        dtype=np.int64,
    )
    verdict: Integers = by_scheme[index.scheme[rows]]
    if evidence is not None and not versioned:
        proven = np.zeros(len(index), dtype=np.bool_)
        proven[evidence.points.row] = True
        verdict[proven[rows]] = CODE[Verdict.MET]
    return verdict
