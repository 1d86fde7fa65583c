"""Training questions: "qat 7B on 2x24GB" to the model, the hardware and the plan of training it there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from planner.choose.index import Index
from planner.choose.language.parse import parse
from planner.domain.model import Model
from planner.domain.scenario import ModelSelector, SelectorKind
from planner.domain.training import TrainingAnswer, TrainingMethod, TrainingRequest
from planner.errors import InvalidInput, NotFound
from planner.estimate.training_plan import plan_training

_WORDS: Final[Mapping[str, TrainingMethod]] = {
    **dict.fromkeys(
        ("finetune", "finetuning", "fine-tune", "fine-tuning", "sft", "train"), TrainingMethod.FINETUNE
    ),
    **dict.fromkeys(("qat",), TrainingMethod.QAT),
    **dict.fromkeys(("distill", "distillation", "distil"), TrainingMethod.DISTILLATION),
}


def _named(selector: ModelSelector, index: Index) -> tuple[Model, tuple[str, ...]]:
    """Return the model that is meant, of several the one with the most parameters, and what is to be said of that."""
    if selector.kind is SelectorKind.MODEL and selector.value not in index.models:
        raise NotFound("model", selector.value or "", nearest=index.nearest_models(selector.value or ""))
    meant = [model for model in index.model_list if selector.selects(model)]
    if selector.kind is SelectorKind.ANY or not meant:
        raise InvalidInput(
            "model",
            "is not named" if selector.kind is SelectorKind.ANY else f"no {selector.describe()} are known",
            allowed="a model or a size, such as 7B",
        )
    model = max(meant, key=lambda each: (each.architecture.parameters, each.id))
    if len(meant) == 1:
        return model, ()
    return model, (f"Of {len(meant)} models that are {selector.describe()}, {model.name} is the largest.",)


def train(request: TrainingRequest, index: Index) -> TrainingAnswer:
    """Return the plan of a training. Raises InvalidInput, InvalidQuery, NotFound, EvidenceMissing."""
    method, selector, hardware = request.method, request.model, request.hardware
    if request.query is not None:
        word, _, rest = request.query.strip().partition(" ")
        method = _WORDS.get(word.lower())
        if method is None:
            raise InvalidInput(
                "query",
                f"begins with `{word[:40]}`",
                allowed="finetune, qat or distill, then model and hardware",
            )
        scenario = parse(rest, index.vocabulary)
        if scenario.constraints:
            raise InvalidInput(
                "query",
                f"has the bound `{scenario.constraints[0].describe()}`, which training does not have",
                allowed="a model and hardware",
            )
        selector, hardware = scenario.model, scenario.hardware
    for field, value in (("method", method), ("model", selector), ("hardware", hardware)):
        if value is None:
            raise InvalidInput(field, "is missing", allowed='for example "qat 7B on 2x24GB"')
    assert method is not None
    assert selector is not None
    assert hardware is not None
    model, notes = _named(selector, index)
    teacher = None
    if request.teacher is not None:
        if method is not TrainingMethod.DISTILLATION:
            raise InvalidInput("teacher", f"is given for {method.value}", allowed="distillation")
        teacher, more = _named(request.teacher, index)
        notes += more
        if teacher.architecture.vocab_size != model.architecture.vocab_size:
            raise InvalidInput(
                "teacher",
                f"{teacher.id} has a vocabulary of {teacher.architecture.vocab_size:,}, {model.id} one of "
                f"{model.architecture.vocab_size:,}",
                allowed="a teacher with the student's vocabulary",
            )
    return plan_training(
        request,
        method=method,
        model=model,
        teacher=teacher,
        hardware=hardware,
        device=index.device(hardware.device_id) if hardware.device_id else None,
        notes=notes,
    )
