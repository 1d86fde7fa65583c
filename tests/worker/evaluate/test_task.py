from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from planner.domain.evaluation import Decision, Evaluation
from planner.domain.loss import LossKind, LossVerdict, verdict
from planner.domain.loss_basis import assess
from planner.errors import InvalidInput
from worker.engines.loading import load_model, load_tokenizer
from worker.evaluate.choice import _common
from worker.evaluate.comparison import Certify
from worker.evaluate.evaluation import Refused, Settings, evaluate_all
from worker.evaluate.logits import Predictor
from worker.evaluate.task_file import ChoiceTask, Task, parse_task, read_task
from worker.reference import model_path
from worker.reference.tasks import task_path

pytestmark = pytest.mark.worker


def _tasks(*tasks: Task, variant, baseline, **settings) -> tuple[tuple[Evaluation, ...], tuple[Refused, ...]]:
    return evaluate_all(
        variant,
        "sha256:v",
        baseline,
        "sha256:b",
        dataset=None,
        tasks=tasks,
        settings=Settings(device="cpu", **settings),
    )


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """The reference model with noise on its weights: a variant that really loses something."""
    torch.manual_seed(0)
    model = load_model(model_path(), device=torch.device("cpu"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.add_(torch.randn_like(parameter) * parameter.float().std() * 0.7)
    directory = tmp_path_factory.mktemp("models") / "damaged"
    model.save_pretrained(directory)
    load_tokenizer(model_path()).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def next_line() -> Task:
    return read_task(task_path("next-line"), limit=24)


@pytest.fixture(scope="module")
def finish_line() -> Task:
    return read_task(task_path("finish-line"), limit=12)


def test_the_reference_model_can_do_its_tasks_and_a_damaged_one_less_well(damaged, next_line, finish_line):
    evaluations, refused = _tasks(next_line, finish_line, variant=damaged, baseline=model_path())
    assert refused == ()
    assert [(e.task, e.metric) for e in evaluations] == [
        ("next-line[:24]", "acc_norm"),
        ("next-line[:24]", "acc"),
        ("finish-line[:12]", "exact_match"),
    ]
    for evaluation in evaluations:
        assert evaluation.doubt is None
        assert evaluation.chance is not None
        assert evaluation.baseline_score > evaluation.chance + 0.1
        assert evaluation.counts is not None
        assert evaluation.counts.items == evaluation.items == len(evaluation.outcomes)
        assert evaluation.variant_score == pytest.approx(evaluation.counts.variant_score)
        assert evaluation.mcnemar_p is not None
        assert evaluation.minimum_effect is not None
        assert evaluation.noise_floor is not None
        assert evaluation.relative_loss.evidence == (evaluation.id,)
        assert msgspec.json.decode(msgspec.json.encode(evaluation), type=Evaluation) == evaluation
    choice, written = evaluations[0], evaluations[2]
    assert choice.variant_score < choice.baseline_score
    assert choice.output_ratio is None
    assert written.output_ratio is not None
    assert all(outcome.baseline_tokens for outcome in written.outcomes)
    answer = assess(evaluations, kind=LossKind.RELATIVE, task=None)
    assert answer is not None
    assert answer.tasks == ("finish-line[:12]", "next-line[:24]")
    assert answer.items == 36, "one metric per set of items counts"


def test_likelihoods_are_those_of_the_whole_text(next_line):
    """Against transformers' own loss, choice by choice, without padding."""
    assert isinstance(next_line, ChoiceTask)
    evaluations, _ = _tasks(
        ChoiceTask(next_line.header, next_line.items[6:14], "eight", "sha256:8"),
        variant=model_path(),
        baseline=model_path(),
    )
    model = load_model(model_path(), device=torch.device("cpu"))
    tokenizer = load_tokenizer(model_path())
    for (_, item), outcome in zip(next_line.items[6:14], evaluations[1].outcomes, strict=True):
        context = tokenizer(item.context).input_ids
        rows = [tokenizer(item.context + choice).input_ids for choice in item.choices]
        start = min(_common(context, row) for row in rows)
        sums = []
        for row in rows:
            ids = torch.tensor([row])
            labels = ids.clone()
            labels[:, :start] = -100
            with torch.inference_mode():
                sums.append(-model(ids, labels=labels).loss.item() * (ids.shape[1] - start))
        assert outcome.baseline == float(int(np.argmax(sums)) == item.answer)


def test_greedy_text_is_that_of_transformers_and_ends_at_a_stop_text(finish_line):
    predictor = Predictor(model_path(), torch.device("cpu"))
    tokenizer = load_tokenizer(model_path())
    ids = np.array([tokenizer("def add(a, b):\n    return").input_ids])
    free = predictor.generate(ids, most=12, stop=(), tokenizer=tokenizer)[0]
    expected = predictor.model.generate(torch.from_numpy(ids), max_new_tokens=12, do_sample=False)[
        0, ids.shape[1] :
    ]
    assert free.tolist() == expected.tolist()
    text = tokenizer.decode(free)
    stopped = predictor.generate(ids, most=12, stop=(text[3],), tokenizer=tokenizer)[0]
    assert len(stopped) < len(free)
    assert free.tolist()[: len(stopped)] == stopped.tolist()


def test_one_after_the_other_gives_what_side_by_side_gives(built, next_line, finish_line):
    small = [
        type(task)(task.header, task.items[:5], task.name, task.digest) for task in (next_line, finish_line)
    ]
    results = []
    for together in (True, False):
        settings = Settings(device="cpu", together=together)
        evaluations, _ = evaluate_all(
            model_path(), "v", model_path(), "b", dataset=None, tasks=small[:1], settings=settings
        )
        results.append([evaluation.outcomes for evaluation in evaluations])
    assert results[0] == results[1]


def test_a_baseline_at_chance_says_nothing(built, next_line):
    """A random model guesses: the evaluation carries the doubt, and answers no question."""
    evaluations, _ = _tasks(next_line, variant=built("int8_weight_only"), baseline=built("bf16"))
    assert all("no information" in str(evaluation.doubt) for evaluation in evaluations)
    assert assess(evaluations, kind=LossKind.RELATIVE, task=None) is None


def test_a_task_the_baseline_cannot_do_at_all_is_refused_with_its_reason(next_line):
    hopeless = parse_task(
        b'{"kind": "generation", "task": "g", "max_tokens": 2}\n{"prompt": "x", "answers": ["qqqq"]}',
        file="f",
    )
    small = ChoiceTask(next_line.header, next_line.items[6:14], "eight", "sha256:8")
    evaluations, refused = _tasks(small, hopeless, variant=model_path(), baseline=model_path())
    assert len(evaluations) == 2
    assert [each.task for each in refused] == ["g"]
    assert "scores 0" in refused[0].reason
    with pytest.raises(InvalidInput, match=r"gave no evaluation.*scores 0"):
        _tasks(hopeless, variant=model_path(), baseline=model_path())


def test_a_context_too_long_is_cut_and_said_so(built):
    long = b'{"kind": "choice", "task": "t"}\n{"context": "%s", "choices": ["a()", "b()"], "answer": 0}\n' % (
        b"x = 1; " * 400
    )
    both = long + long.split(b"\n")[1].replace(b'"answer": 0', b'"answer": 1')
    evaluations, _ = _tasks(parse_task(both, file="f"), variant=built("bf16"), baseline=built("bf16"))
    for evaluation in evaluations:
        assert "2 of 2 items were cut" in evaluation.notes[0]
        assert evaluation.counts is not None
        assert (evaluation.counts.both_right, evaluation.counts.both_wrong) == (1, 1)


def test_certifying_stops_as_soon_as_it_can(damaged, next_line):
    whole = read_task(task_path("next-line"))
    (norm, _), _ = _tasks(
        whole,
        variant=damaged,
        baseline=model_path(),
        certify=Certify(limit=0.05, confidence=0.8),
        noise_items=0,
    )
    certification = norm.certification
    assert certification is not None
    assert certification.decision is Decision.VIOLATED
    assert norm.items == certification.items < certification.available == len(whole.items)
    assert [outcome.id for outcome in norm.outcomes] != [name for name, _ in whole.items[: norm.items]]
    assert norm.noise_floor is None
    assert norm.mcnemar_p is None, "a p-value for a fixed size means nothing where one stopped when it suited"
    assert verdict(norm.relative_loss, 0.05, confidence=0.8) is LossVerdict.VIOLATED


def test_what_few_items_cannot_decide_stays_undecided_and_says_how_many_would(next_line):
    small = ChoiceTask(next_line.header, next_line.items[:8], "eight", "sha256:8")
    (norm, _), _ = _tasks(
        small, variant=model_path(), baseline=model_path(), certify=Certify(limit=0.01), noise_items=0
    )
    assert norm.certification is not None
    assert norm.certification.decision is Decision.UNDECIDED
    assert norm.certification.more_items is not None
    assert norm.certification.more_items > 8


def test_a_metric_that_says_nothing_is_told_beside_the_one_that_does():
    """On these four items the reference model is right by `acc_norm` only; `acc` is not dropped in silence."""
    few = read_task(task_path("next-line"), limit=4)
    evaluations, refused = _tasks(few, variant=model_path(), baseline=model_path())
    assert refused == ()
    assert [evaluation.metric for evaluation in evaluations] == ["acc_norm"]
    assert any("scores 0 in acc on all 4 items" in note for note in evaluations[0].notes)
