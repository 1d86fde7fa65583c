"""A whole run at the smallest scale: corpus to card, on the CPU, in seconds."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from planner.errors import IntegrityFailure, InvalidInput
from worker.reference import make
from worker.reference.command import train_command
from worker.reference.model import ModelShape, build_model, load_model
from worker.reference.train import TrainingSettings, loss_of, mean_loss, resolve_device, sequences, train

pytestmark = pytest.mark.worker

SHAPE = ModelShape(vocabulary=320, hidden=64, intermediate=128, layers=1, heads=2, kv_heads=1, context=64)
SETTINGS = TrainingSettings(
    steps=60, sequence=64, batch=8, evaluations=4, learning_rate=1e-2, held_out_sequences=8
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    root: Path = tmp_path_factory.mktemp("sources")
    for number in range(60):
        body = "".join(
            f"def scale_{number}_{line}(value, factor):\n    total = value * factor\n    return total + {line}\n\n\n"
            for line in range(8)
        )
        (root / f"module{number}.py").write_text(body, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def made(sources, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "model"
    stages: list[tuple[str, float]] = []
    facts = make.make(
        out,
        shape=SHAPE,
        source=make.CorpusSettings(roots=(sources,), held_out_share=0.2),
        settings=SETTINGS,
        report=lambda stage, share, _note: stages.append((stage, share)),
    )
    return out, facts, stages


def test_training_lowers_the_held_out_loss_below_token_frequencies(made):
    _, facts, _ = made
    first, last = facts.run.curve[0], facts.run.curve[-1]
    assert last.held_out_loss < first.held_out_loss - 1.5
    assert facts.held_out_perplexity < facts.unigram_perplexity / 2
    assert facts.run.steps == last.step == 60
    assert facts.run.tokens_seen == 60 * 8 * 64
    assert facts.run.tokens_per_second == pytest.approx(60 * 8 * 64 / facts.run.seconds)
    assert facts.train_files + facts.held_out_files == 60


def test_every_stage_reports_to_its_end(made):
    _, _, stages = made
    ended = [stage for stage, share in stages if share == 1.0]
    assert ended == ["read source", "train tokenizer", "encode", "encode held out", "train", "save and check"]


def test_what_was_saved_loads_back_and_scores_as_the_card_says(made):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out, facts, _ = made
    assert {path.name for path in out.iterdir()} == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    model = AutoModelForCausalLM.from_pretrained(out, local_files_only=True)
    assert model.num_parameters() == facts.shape.parameters
    assert AutoTokenizer.from_pretrained(out, local_files_only=True).vocab_size == facts.shape.vocabulary
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"| perplexity per token | {facts.held_out_perplexity:.3f} |" in card
    assert f"| parameters | {facts.shape.parameters:,} " in card
    assert str(out) not in card


def test_the_same_seed_makes_the_same_weights(sources, made, tmp_path):
    out, facts, _ = made
    again = make.make(
        tmp_path / "again",
        shape=SHAPE,
        source=make.CorpusSettings(roots=(sources,), held_out_share=0.2),
        settings=SETTINGS,
        report=lambda *_: None,
    )
    assert again.held_out_perplexity == pytest.approx(facts.held_out_perplexity, rel=1e-3)
    ours, theirs = load_model(out).state_dict(), load_model(tmp_path / "again").state_dict()
    assert all(torch.allclose(ours[name], theirs[name], atol=0.02) for name in ours)


def test_a_weight_that_changed_on_the_way_is_noticed(made):
    out, _, _ = made
    model, changed = load_model(out), load_model(out)
    make.compare(model, changed)
    with torch.no_grad():
        changed.model.layers[0].mlp.up_proj.weight[0, 0] += 1
    with pytest.raises(IntegrityFailure, match=r"model\.layers\.0\.mlp\.up_proj\.weight"):
        make.compare(model, changed)


def test_an_output_directory_in_use_is_left_alone(made, sources):
    out, _, _ = made
    with pytest.raises(InvalidInput, match="is not empty"):
        make.make(
            out,
            shape=SHAPE,
            source=make.CorpusSettings(roots=(sources,)),
            settings=SETTINGS,
            report=lambda *_: None,
        )


def test_mean_loss_is_the_mean_over_windows_whatever_the_batch():
    model = build_model(SHAPE).eval()
    stream = np.random.default_rng(0).integers(3, 320, 64 * 7 + 1, dtype=np.uint16)
    windows = sequences(stream, 64, "cpu")
    assert windows.shape == (7, 65)
    whole = float(loss_of(model, windows).detach())
    assert mean_loss(model, windows, batch=3) == pytest.approx(whole, rel=1e-5)
    with pytest.raises(InvalidInput, match="corpus: 64 tokens"):
        sequences(stream[:64], 64, "cpu")


def test_the_learning_rate_warms_up_peaks_and_decays():
    settings = TrainingSettings(steps=1, learning_rate=1.0, warmup_share=0.1, final_share=0.05)
    rates = [settings.rate(share / 100) for share in range(101)]
    assert rates[0] == 0
    assert max(rates) == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.05)


def test_a_time_budget_ends_the_run():
    model = build_model(SHAPE)
    stream = np.random.default_rng(0).integers(3, 320, 64 * 20, dtype=np.uint16)
    settings = msgspec.structs.replace(SETTINGS, steps=None, seconds=0.3)
    run = train(model, stream, stream, settings, lambda *_: None)
    assert run.steps >= 1
    assert 0.3 <= run.seconds < 5


def test_a_loss_that_is_no_number_stops_the_run():
    model = build_model(SHAPE)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    stream = np.random.default_rng(0).integers(3, 320, 64 * 20, dtype=np.uint16)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 1"):
        train(model, stream, stream, SETTINGS, lambda *_: None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": None}, "seconds: no budget given"),
        ({"seconds": -1.0}, r"seconds: -1.0 is not positive"),
        ({"batch": 0}, "batch: 0 is not positive"),
        ({"learning_rate": float("nan")}, "learning_rate: nan"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(InvalidInput, match=message):
        msgspec.structs.replace(SETTINGS, **changes).validate()


def test_a_device_that_is_not_there_is_refused():
    assert resolve_device("auto") in ("cpu", "cuda")
    with pytest.raises(InvalidInput, match="device: `tpu` is not available"):
        resolve_device("tpu")


def test_the_command_trains_from_its_options(sources, tmp_path):
    options = "--steps 3 --sequence 64 --batch 4 --device cpu --held-out-share 0.2 --vocabulary 300"
    shape = "--hidden 32 --intermediate 64 --layers 1 --heads 2 --kv-heads 1"
    arguments = ["--out", str(tmp_path / "model"), "--root", str(sources), *options.split(), *shape.split()]
    result = CliRunner().invoke(train_command, arguments)
    assert result.exit_code == 0, result.output
    assert "held-out perplexity" in " ".join(result.output.split())
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_the_frozen_perplexity_is_that_of_an_evaluation(made):
    from worker.evaluate.dataset import reference_dataset
    from worker.evaluate.evaluation import evaluate
    from worker.reference import evaluation_digest
    from worker.sources import directory_digest

    out, facts, _ = made
    digest = directory_digest(out)
    judged = evaluate(out, digest, out, digest, reference_dataset(), window=SHAPE.context, device="cpu")
    assert facts.frozen_digest == evaluation_digest()
    assert facts.frozen_perplexity == pytest.approx(judged.variant_score, rel=2e-3)


def test_packed_attention_is_the_models_own_without_its_mask():
    from worker.reference.packed import packed_attention

    model = build_model(SHAPE).eval()
    tokens = torch.randint(3, 320, (2, 64))
    with torch.no_grad():
        own = model(input_ids=tokens).logits
        with packed_attention(model):
            assert model.config._attn_implementation == "packed_causal"
            packed = model(input_ids=tokens).logits
    assert model.config._attn_implementation == "sdpa"
    assert torch.allclose(own, packed, atol=1e-5)


def test_the_large_size_has_more_than_100_million_parameters_that_every_group_divides():
    from worker.reference.sizes import preset

    large = preset("large", device="cpu", compiled=True)
    assert 100e6 < large.shape.parameters < 120e6
    assert large.shape.hidden % 128 == large.shape.intermediate % 128 == 0
    assert large.settings.seconds == 240
    assert large.max_stored_bytes is None
    assert preset("small", device="cpu", steps=3).settings.seconds is None
    with pytest.raises(InvalidInput, match="allowed: small, large"):
        preset("medium", device="cpu")


def test_training_compiles_to_the_same_as_without():
    """The whole step is one graph: no part of the loss falls back to being interpreted."""
    from worker.reference.packed import packed_attention
    from worker.reference.train import loss_of

    model = build_model(SHAPE)
    windows = torch.randint(3, 320, (2, 33))
    with packed_attention(model), torch.no_grad():
        plain = float(loss_of(model, windows))
        explained = torch._dynamo.explain(loss_of)(model, windows)
    assert explained.graph_break_count == 0
    targets = [str(node.target) for graph in explained.graphs for node in graph.graph.nodes]
    assert any("scaled_dot_product_attention" in target for target in targets)
    assert np.isfinite(plain)
