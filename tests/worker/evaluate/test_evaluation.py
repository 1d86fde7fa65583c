from __future__ import annotations

import json
import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from planner.domain.evaluation import Decision, Evaluation
from planner.domain.job import FailureReason
from planner.domain.loss import LossVerdict, verdict
from planner.errors import InvalidInput
from tests.worker.conftest import write_model
from worker.engines.loading import load_model, load_tokenizer
from worker.evaluate.comparison import Certify, compare
from worker.evaluate.dataset import Dataset, Text, read_dataset
from worker.evaluate.evaluation import evaluate
from worker.evaluate.models import ModelPair
from worker.evaluate.text import evaluate_text
from worker.evaluate.windows import cut_windows
from worker.failure import JobFailed
from worker.reference import model_path

pytestmark = pytest.mark.worker


@pytest.fixture
def dataset(text_file) -> Dataset:
    return read_dataset(text_file)


def _evaluate(variant, baseline, dataset, **more) -> Evaluation:
    return evaluate(variant, "sha256:v", baseline, "sha256:b", dataset, device="cpu", **more)


def _kl(evaluation: Evaluation) -> list[float]:
    assert evaluation.fidelity is not None
    figures = (evaluation.fidelity.kl_mean, evaluation.fidelity.kl_p99, evaluation.fidelity.kl_max)
    return [figure.value for figure in figures if figure is not None]


def test_perplexity_is_that_of_the_model_on_its_own(built, dataset):
    evaluation = _evaluate(built("int8_weight_only"), built("bf16"), dataset)
    tokenizer = load_tokenizer(built("bf16"))
    for directory, score in (
        (built("bf16"), evaluation.baseline_score),
        (built("int8_weight_only"), evaluation.variant_score),
    ):
        model = load_model(directory, device=torch.device("cpu"))
        loss, tokens = 0.0, 0
        for document in dataset.documents:
            ids = tokenizer(document.text, return_tensors="pt").input_ids[:, :256]
            with torch.inference_mode():
                loss += model(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
            tokens += ids.shape[1] - 1
        assert score == pytest.approx(math.exp(loss / tokens), rel=2e-3)
    assert evaluation.items == 6
    assert sum(document.tokens for document in evaluation.documents) == tokens


def test_an_evaluation_is_complete_and_survives_json(built, dataset):
    evaluation = _evaluate(built("intx_weight_only"), built("bf16"), dataset)
    assert msgspec.json.decode(msgspec.json.encode(evaluation), type=Evaluation) == evaluation
    assert (evaluation.metric, evaluation.higher_is_better) == ("perplexity", False)
    assert evaluation.relative_loss.evidence == (evaluation.id,)
    assert evaluation.relative_loss.interval is not None
    assert evaluation.dataset_digest == dataset.digest
    assert evaluation.counts is not None
    assert evaluation.counts.items == sum(document.tokens for document in evaluation.documents)
    fidelity = evaluation.fidelity
    assert fidelity is not None
    mean, tail, most = _kl(evaluation)
    assert 0 < mean < tail <= most
    assert fidelity.flips is not None
    assert fidelity.flips.value == pytest.approx(evaluation.counts.flips)


def test_a_model_loses_nothing_against_itself(built, dataset):
    evaluation = _evaluate(built("bf16"), built("bf16"), dataset)
    assert evaluation.relative_loss.value == 0
    assert _kl(evaluation) == [0, 0, 0]


def test_one_after_the_other_gives_what_side_by_side_gives(built, dataset):
    both = [
        _evaluate(built("int8_dynamic"), built("bf16"), dataset, together=together)
        for together in (True, False)
    ]
    assert both[0].documents == both[1].documents
    assert both[0].counts == both[1].counts
    assert _kl(both[0]) == _kl(both[1])


def test_a_long_document_is_scored_in_windows(built, text_file):
    dataset = read_dataset(text_file)
    evaluation = _evaluate(built("bf16"), built("bf16"), dataset, window=32)
    tokenizer = load_tokenizer(built("bf16"))
    for document, record in zip(dataset.documents, evaluation.documents, strict=True):
        tokens = len(tokenizer(document.text).input_ids)
        windows = math.ceil(tokens / 32)
        assert record.tokens in {tokens - windows, tokens - windows + (tokens % 32 == 1)}
    assert "windows of 32 tokens" in str(evaluation.protocol)


def test_windows_lose_no_token(built):
    tokenizer = load_tokenizer(built("bf16"))
    text = "value = compute(x)\n" * 50
    ids = tokenizer(text).input_ids
    windows = cut_windows([Text(id="a", text=text)], tokenizer, length=10)
    assert (
        np.concatenate([window.ids for window in windows]).tolist()[: len(ids)]
        == ids[: sum(len(w.ids) for w in windows)]
    )


def test_another_tokenizer_is_refused(built, base_copy, dataset):
    tokenizer = json.loads((base_copy / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:10]
    (base_copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InvalidInput, match="tokenizer reads document"):
        _evaluate(built("bf16"), base_copy, dataset)


def test_another_vocabulary_is_refused(built, base_copy, dataset, tmp_path):
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(base_copy)
    model.resize_token_embeddings(4104, mean_resizing=False)
    model.save_pretrained(base_copy)
    with pytest.raises(InvalidInput, match="vocabulary of 4104, the variant one of 4096"):
        _evaluate(built("bf16"), base_copy, dataset)


def test_logits_that_are_not_numbers_are_refused(base_copy, built, dataset):
    weights = base_copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2:] = b"\xff\x7f"
    weights.write_bytes(content)
    with pytest.raises(JobFailed) as caught:
        _evaluate(base_copy, built("bf16"), dataset)
    assert caught.value.reason is FailureReason.ARTIFACT_CORRUPT


def test_text_too_short_to_score_is_refused(built):
    with pytest.raises(InvalidInput, match="no document of two tokens"):
        _evaluate(
            built("bf16"),
            built("bf16"),
            Dataset(name="n", digest="sha256:0", documents=(Text(id="a", text=""),)),
        )


def test_another_models_loss_is_seen(tmp_path, built, dataset):
    other = write_model(tmp_path / "other", seed=1)
    evaluation = _evaluate(other, built("bf16"), dataset)
    assert evaluation.fidelity is not None
    assert evaluation.fidelity.top1_agreement is not None
    assert evaluation.fidelity.top1_agreement.value < 0.5


def test_the_noise_floor_is_the_baseline_in_another_batch_shape(built, dataset):
    evaluation = _evaluate(built("int8_weight_only"), built("bf16"), dataset)
    floor = evaluation.noise_floor
    assert floor is not None
    assert abs(floor.value) < abs(evaluation.relative_loss.value)
    assert "6 documents" in str(floor.note)
    assert _evaluate(built("bf16"), built("bf16"), dataset, noise_items=0).noise_floor is None


def test_certifying_text_stops_early_with_an_interval_that_allows_it(built):
    """The trained model against itself, and against one of the same tokens that has learnt nothing."""
    documents = tuple(
        Text(id=f"d{number}", text=f"def f{number}(x, y):\n    return x * {number} + y\n" * (2 + number % 5))
        for number in range(80)
    )
    dataset = Dataset(name="n", digest="sha256:0", documents=documents)
    for variant, decision in ((model_path(), Decision.CERTIFIED), (built("bf16"), Decision.VIOLATED)):
        together, apart = (
            _evaluate(
                variant,
                model_path(),
                dataset,
                certify=Certify(limit=0.01),
                together=together,
                noise_items=2,
            )
            for together in (True, False)
        )
        certification = together.certification
        assert certification is not None
        assert certification == apart.certification
        assert certification.decision is decision
        assert together.items == certification.items < certification.available == 80
        assert together.minimum_effect is None
        interval = together.relative_loss.interval
        assert interval is not None
        expected = LossVerdict.CERTIFIED if decision is Decision.CERTIFIED else LossVerdict.VIOLATED
        assert verdict(together.relative_loss, 0.01) is expected


def test_quantization_that_was_not_applied_is_doubted(base_copy, built, dataset):
    honest = _evaluate(base_copy, built("bf16"), dataset)
    assert honest.doubt is None
    variant = built("int8_weight_only")
    claiming = compare(
        built("bf16"),
        "b",
        variant,
        "v",
        ModelPair(built("bf16"), variant, torch.device("cpu"), together=True),
        environment=honest.environment,
        certify=None,
        noise_items=0,
    )
    assert claiming.claims_quantized
    pretended = replace(
        claiming, pair=ModelPair(built("bf16"), built("bf16"), torch.device("cpu"), together=True)
    )
    assert "probably not applied" in str(evaluate_text(pretended, dataset).doubt)
    assert evaluate_text(claiming, dataset).doubt is None
