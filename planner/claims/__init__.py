"""Popular claims about quantization, each a few questions to the evidence, judged by rule: docs/claims.md is made from this.

A claim says in which range figures should lie and which figures those are; what the registry holds decides. Pure: the
evidence is an argument.
"""

from planner.claims.judgement import Judged, Verdict, judge_all

__all__ = ["Judged", "Verdict", "judge_all"]
