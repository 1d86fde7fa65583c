"""Job specifications and results: what a worker is asked to do and what it hands back, ready to be registered.

A job file is one specification with its `kind`. A job leased from a server has kind and specification apart; together
they are the same thing. Unknown fields are refused, so that a misspelt one is not silently ignored.
"""

from __future__ import annotations

from typing import Any

import msgspec

from planner.domain.device import Device
from planner.domain.evaluation import Evaluation
from planner.domain.job import JobKind
from planner.domain.profile import Environment, Profile
from planner.domain.scheme import Scheme
from planner.domain.variant import Artifact, Provenance
from planner.errors import InvalidInput, PlannerError
from worker.engines.endpoint import Endpoint
from worker.evaluate.comparison import NOISE_ITEMS, Certify
from worker.evaluate.evaluation import DEFAULT_WINDOW, Refused
from worker.measure.profile import Conditions
from worker.measure.weights import Weights
from worker.recipes import AnyRecipe
from worker.recipes.build import Reload
from worker.recipes.coverage import Coverage
from worker.sources import DatasetSource, PathSource, Source, StandardLibrarySource, TaskSource

DEFAULT_TIMEOUT = 6 * 3600.0


class BuildSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="build", tag_field="kind"
):
    """Build a variant of `base` by `recipe`."""

    base: Source
    recipe: AnyRecipe
    model: str | None = None
    """Model id or name to register it under; None takes the base's model, or the name of its folder."""
    name: str | None = None
    """Name of the variant; None takes the recipe's."""
    dataset: DatasetSource = StandardLibrarySource()
    """What recipes that need text calibrate or train on; the others do not read it."""
    limit: int | None = None
    """How many documents of it to use, from its beginning."""
    device: str = "auto"
    threads: int | None = None
    timeout_seconds: float = DEFAULT_TIMEOUT


class MeasureSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="measure", tag_field="kind"
):
    """Measure latency and memory of `variant`, in a process of ours or on a server that serves it."""

    variant: Source
    conditions: Conditions = Conditions()
    endpoint: Endpoint | None = None
    """The server; only in job files run by hand, so that nobody else can make a worker call an address."""
    timeout_seconds: float = DEFAULT_TIMEOUT


class EvaluateSpec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="evaluate", tag_field="kind"
):
    """Evaluate what `variant` loses against `baseline` on text and on tasks."""

    variant: Source
    baseline: Source
    dataset: DatasetSource | None = None
    """Text to measure perplexity on; None is none where tasks are given, and the reference text where none are."""
    tasks: tuple[TaskSource, ...] = ()
    """Task files, of multiple choice or generation."""
    lm_eval: tuple[PathSource, ...] = ()
    """Task files of lm-eval, which can run code: only in job files run by hand."""
    limit: int | None = None
    """How many documents of the data set, and items of each task, to use, from its beginning."""
    certify: Certify | None = None
    """Stop as soon as it is known whether the loss is within a limit; None uses every item."""
    noise_items: int = NOISE_ITEMS
    """On how many items the baseline is run against itself; 0 leaves the noise floor unknown."""
    window: int = DEFAULT_WINDOW
    device: str = "auto"
    threads: int | None = None
    together: bool | None = None
    """Load both models at once; None decides by the free memory."""
    timeout_seconds: float = DEFAULT_TIMEOUT


Spec = BuildSpec | MeasureSpec | EvaluateSpec


class BuildResult(msgspec.Struct, frozen=True, kw_only=True, tag="build", tag_field="kind"):
    """A verified variant in the folder `directory` (relative to the result), and how it came to be."""

    variant_id: str
    directory: str
    artifacts: tuple[Artifact, ...]
    name: str
    model: str
    scheme: Scheme
    """The recipe's claim; the registry derives its own from the files."""
    weights: Weights
    coverage: Coverage
    reload: Reload
    provenance: Provenance
    environment: Environment

    @property
    def runtimes(self) -> tuple[str, ...]:
        """What runs the files: a GGUF file is made for llama.cpp, all else is loaded by transformers."""
        is_gguf = any(artifact.path.endswith(".gguf") for artifact in self.artifacts)
        return ("llama.cpp",) if is_gguf else ("transformers",)


class MeasureResult(msgspec.Struct, frozen=True, kw_only=True, tag="measure", tag_field="kind"):
    """A profile, and the device it was taken on when the catalogue does not know it."""

    profile: Profile
    device: Device | None
    weights: Weights | None = None
    """None where a server holds them."""


class EvaluateResult(msgspec.Struct, frozen=True, kw_only=True, tag="evaluate", tag_field="kind"):
    """Evaluations of one variant: the first, and those of further tasks and metrics."""

    evaluation: Evaluation
    others: tuple[Evaluation, ...] = ()
    refused: tuple[Refused, ...] = ()
    """Tasks that gave no evaluation, and why."""

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """All of them."""
        return (self.evaluation, *self.others)


Result = BuildResult | MeasureResult | EvaluateResult


def parse_spec(document: Any) -> Spec:
    """Return the specification in a decoded JSON document. Raises InvalidInput naming the field."""
    spec: Spec = _convert(document, Spec, "job")
    return spec


def parse_job_file(content: bytes) -> Spec:
    """Return the specification in a job file. Raises InvalidInput."""
    try:
        document = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise InvalidInput("job", f"is not JSON: {error}") from None
    return parse_spec(document)


def spec_of(kind: JobKind, document: dict[str, Any]) -> Spec:
    """Return the specification of a leased job. Raises InvalidInput, also when it names another kind."""
    if document.get("kind", kind.value) != kind.value:
        raise InvalidInput("spec.kind", f"`{document['kind']}` contradicts the job", allowed=kind.value)
    return parse_spec({**document, "kind": kind.value})


def parse_result(content: bytes) -> Result:
    """Return the result in a result file. Raises InvalidInput."""
    try:
        document = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise InvalidInput("result", f"is not JSON: {error}") from None
    result: Result = _convert(document, Result, "result")
    return result


def _convert(document: Any, kind: Any, field: str) -> Any:
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, PlannerError):
            raise error.__cause__ from None
        raise InvalidInput(field, str(error)) from None
