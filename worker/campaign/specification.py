"""Campaign files: TOML, checked as a whole before anything runs.

The order of the steps is their priority. A step of several models or recipes becomes as many units.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from planner.errors import InvalidInput, NotFound, PlannerError
from worker.campaign.field_errors import field_error
from worker.engines.kernels import Kernels
from worker.evaluate.evaluation import DEFAULT_WINDOW
from worker.measure.latency import Repetition
from worker.measure.profile import Conditions
from worker.recipes import AnyRecipe, parse_recipe

SUFFIX: Final = ".toml"
TRAINED: Final = "trained:"
"""Before the name of a train step, where a recipe step names its model."""
MAX_FILE_BYTES: Final = 1_000_000
MAX_STEPS: Final = 1000
Chosen = AnyRecipe | str
"""A recipe with settings, or the name of one with its defaults."""


class _Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all steps say."""

    estimate_seconds: float | None = None
    """Expected seconds of one unit of the step; None computes or assumes them."""


class ShapeStep(_Step, frozen=True, kw_only=True, tag="shape"):
    """Memory and latency of catalogue models' shapes under recipes, with synthetic weights: never accuracy."""

    models: tuple[str, ...]
    recipes: tuple[Chosen, ...]
    batches: tuple[int, ...] = (1, 4, 16)
    contexts: tuple[int, ...] = (512, 2048, 8192)
    """Input tokens of a request."""
    output_tokens: int = 32
    repetition: Repetition = Repetition(warmup=1, least=3, most=10, budget_seconds=1.5, limit_seconds=6.0)
    point_limit_seconds: float = 20.0
    """Seconds after which no further run of a point starts; a point estimated above it is not tried, and named."""
    kernels: Kernels = Kernels.AUTO
    """Library of the quantized products, as the compiled engine takes it."""
    thorough: bool = False
    """Compile longer for a few percent more speed."""
    device: str = "auto"


class RecipeStep(_Step, frozen=True, kw_only=True, tag="recipe"):
    """Variants of one model: built, measured, and evaluated against the model itself."""

    model: str
    """"reference", a folder, or "trained:<name>" of a train step before this one."""
    recipes: tuple[Chosen, ...]
    register_as: str | None = None
    """Model id the results are about; None takes the model's own name."""
    conditions: Conditions = Conditions()
    documents: int | None = None
    """How many documents of the evaluation text, and items of each task, to use; None uses all."""
    tasks: tuple[Literal["next-line", "finish-line"], ...] = ()
    """Tasks that ship with the worker, scored besides the perplexity of the evaluation text."""
    window: int = DEFAULT_WINDOW
    build_device: str = "auto"
    device: str = "auto"
    threads: int | None = None
    evaluate: bool = True
    """Evaluate what it loses too, rather than measure memory and latency alone."""
    keep_files: bool = False
    """Keep the built files after they were measured; without them only results remain."""


class TrainStep(_Step, frozen=True, kw_only=True, tag="train"):
    """A reference model, trained on this machine's Python source for later steps."""

    name: str
    size: Literal["small", "large"] = "large"
    seconds: float = 240.0
    steps: int | None = None
    batch: int = 64
    """Sequences of one step."""
    seed: int = 20
    compile: bool = True
    device: str = "auto"
    roots: tuple[str, ...] = ()
    """Folders of Python source; empty is the interpreter's own library and packages."""


Step = ShapeStep | RecipeStep | TrainStep


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the machine is expected to do: for estimating cost only, no result depends on it."""

    memory_bytes: float | None = None
    """Points whose weights and KV cache alone exceed it are not tried; None tries all."""
    flops: float = 6e14
    """Operations per second of a prompt pass."""
    bandwidth: float = 4e12
    """Bytes per second of a decode step."""
    start_seconds: float = 20.0
    """A unit's process until its model is loaded, without the weights."""
    compile_seconds: float = 3.0
    """Compiling and warming up for one workload point."""


class Campaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A campaign: what to do, most valuable first."""

    name: str
    description: str
    steps: tuple[Step, ...]
    machine: Machine = Machine()


def built_in() -> dict[str, Path]:
    """Return the campaign files that ship with the package, by name."""
    folder = Path(str(files("worker.campaign").joinpath("campaigns")))
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def find_campaign(text: str) -> Path:
    """Return the file that `text` names: a path, or one that ships with the package. Raises NotFound."""
    path = Path(text).expanduser()
    if path.is_file():
        return path
    shipped = built_in()
    if text in shipped:
        return shipped[text]
    raise NotFound("campaign file", text, nearest=tuple(shipped))


def read_campaign(path: Path) -> Campaign:
    """Return the campaign in a file. Raises InvalidInput naming the field, NotFound for an unknown recipe."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidInput("campaign", f"`{path}` cannot be read: {error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise InvalidInput("campaign", f"`{path}` is larger than {MAX_FILE_BYTES:,} bytes")
    return parse_campaign(content)


def parse_campaign(content: bytes) -> Campaign:
    """Return the campaign that TOML describes. Raises as `read_campaign` does."""
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("campaign", f"is not TOML: {error}") from None
    campaign: Campaign = _convert(document)
    if not campaign.name.strip():
        raise InvalidInput("campaign.name", "is empty", allowed="a name")
    if not 1 <= len(campaign.steps) <= MAX_STEPS:
        raise InvalidInput(
            "campaign.steps", f"are {len(campaign.steps)}", allowed=f"1 to {MAX_STEPS} [[steps]]"
        )
    _check_machine(campaign.machine)
    trained: set[str] = set()
    for number, step in enumerate(campaign.steps, start=1):
        _check_step(step, f"campaign.steps[{number}]", trained)
        if isinstance(step, TrainStep):
            trained.add(step.name)
    return campaign


def chosen_recipe(recipe: Chosen) -> AnyRecipe:
    """Return the recipe that a step names. Raises NotFound, InvalidInput."""
    return parse_recipe(recipe) if isinstance(recipe, str) else recipe


def _convert(document: Any) -> Campaign:
    try:
        return msgspec.convert(document, Campaign)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, PlannerError):
            raise error.__cause__ from None
        raise field_error(document, Campaign, str(error), name="campaign") from None


def _check_machine(machine: Machine) -> None:
    for name in machine.__struct_fields__:
        value = getattr(machine, name)
        if value is not None and not 0 <= value < float("inf"):
            raise InvalidInput(f"campaign.machine.{name}", f"{value} is out of range", allowed="0 or more")
    for name in ("flops", "bandwidth"):
        if getattr(machine, name) == 0:
            raise InvalidInput(f"campaign.machine.{name}", "is 0", allowed="above 0")


def _check_step(step: Step, field: str, trained: set[str]) -> None:
    if step.estimate_seconds is not None and not 0 <= step.estimate_seconds <= 7 * 86_400:
        raise InvalidInput(
            f"{field}.estimate_seconds", f"{step.estimate_seconds} is out of range", allowed="0 to 7 days"
        )
    match step:
        case ShapeStep():
            _check_shape(step, field)
        case RecipeStep():
            _check_recipe(step, field, trained)
        case TrainStep():
            _check_train(step, field, trained)


def _check_shape(step: ShapeStep, field: str) -> None:
    for name in ("models", "recipes", "batches", "contexts"):
        if not getattr(step, name):
            raise InvalidInput(f"{field}.{name}", "are empty", allowed="at least one")
    if not step.point_limit_seconds > 0:
        raise InvalidInput(
            f"{field}.point_limit_seconds", f"{step.point_limit_seconds} is out of range", allowed="above 0"
        )
    _check_recipes(step.recipes, field)


def _check_recipe(step: RecipeStep, field: str, trained: set[str]) -> None:
    if not step.recipes:
        raise InvalidInput(f"{field}.recipes", "are empty", allowed="at least one")
    name = step.model.removeprefix(TRAINED)
    if step.model.startswith(TRAINED) and name not in trained:
        raise InvalidInput(
            f"{field}.model",
            f"no train step before it is called `{name}`",
            allowed=", ".join(sorted(trained)) or "a train step before this one",
        )
    _check_recipes(step.recipes, field)


def _check_train(step: TrainStep, field: str, trained: set[str]) -> None:
    if not step.name.replace("-", "").isalnum():
        raise InvalidInput(
            f"{field}.name", f"`{step.name}` is not allowed", allowed="letters, digits and `-`"
        )
    if step.name in trained:
        raise InvalidInput(f"{field}.name", f"`{step.name}` is taken", allowed="a name of its own")
    if not step.seconds > 0:
        raise InvalidInput(f"{field}.seconds", f"{step.seconds} is out of range", allowed="above 0")


def _check_recipes(recipes: tuple[Chosen, ...], field: str) -> None:
    for recipe in recipes:
        try:
            chosen_recipe(recipe)
        except NotFound as error:
            raise InvalidInput(f"{field}.recipes", error.message) from None
