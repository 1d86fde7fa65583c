import json

import pytest

from tests.cli.conftest import make_llama


def test_a_question_in_words_is_answered_with_what_was_understood(run):
    code, out, _ = run("recommend", "13B on 24GB, ≤1% loss")
    assert code == 0
    assert out.startswith("Recommended")
    for part in (
        "13B models",
        "24 GiB nominal card",
        "relative loss ≤ 1 %",
        "asked",
        "default",
        "Not chosen",
    ):
        assert part in out


def test_json_is_one_document_with_the_same_answer(run):
    code, out, _ = run("recommend", "13B on 24GB, ≤1% loss", "--json")
    plan = json.loads(out)
    assert code == 0
    assert plan["result"]["outcome"] == "recommended"
    assert plan["result"]["chosen"]["memory"]["total"]["value"] < 24 * 2**30
    again = json.loads(run("show", plan["id"], "--json")[1])
    assert again == plan
    assert json.loads(run("show", plan["id"], "--replay", "--json")[1])["identical"] is True
    assert run("show", plan["id"], "--replay")[1].startswith("identical")


def test_nothing_fits_is_exit_code_3_with_relaxations_that_work(run):
    code, out, _ = run("recommend", "70B on 8GB, ≤0.1% loss", "--json")
    result = json.loads(out)["result"]
    assert code == 3
    assert result["outcome"] == "infeasible"
    assert "memory" in result["conflict"]
    assert {row["key"] for row in result["relaxations"]} >= {"memory"}
    code, out, _ = run("recommend", "70B on 8GB, ≤0.1% loss")
    assert code == 3
    assert "Infeasible" in out


def test_a_word_that_is_not_understood_is_pointed_at(run):
    code, _, err = run("recommend", "13B on 24GB, 1% floss")
    assert code == 2
    line, marks = err.splitlines()[1:3]
    assert line[marks.index("^") : marks.rindex("^") + 1] == "floss"


def test_an_error_is_json_when_json_is_asked_for(run):
    code, _, err = run("show", "no-such-thing-at-all", "--json")
    assert code == 2
    assert json.loads(err)["error"]["code"] == "not-found"


def test_why_not_names_the_constraint(run):
    rows = json.loads(run("variants", "--model", "llama-2-13b", "--json")[1])["items"]
    largest = max(rows, key=lambda row: row["variant"]["weight_bytes"]["value"])["variant"]
    code, out, _ = run("why", largest["id"], "13B on 16GB, ≤1% loss")
    assert code == 0
    assert "memory" in out


@pytest.mark.parametrize("verb", ["models", "variants", "devices"])
def test_listings_page_through_everything_once(run, verb):
    seen, cursor = [], None
    for _ in range(100):
        arguments = ["--limit", "20", "--json", *(["--cursor", cursor] if cursor else [])]
        page = json.loads(run(verb, *arguments)[1])
        seen += [item.get("id") or item["variant"]["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) > 40


def test_an_empty_listing_says_so(run):
    assert run("variants", "zzzzzz")[1].strip() == "no variant matches"


def test_presets_can_be_shown_by_any_name(run):
    presets = json.loads(run("presets", "--json")[1])
    assert len(presets) >= 12
    alias = next(preset["aliases"][-1] for preset in presets if preset.get("aliases"))
    assert run("show", alias, "--kind", "preset")[0] == 0


def test_register_then_fetch_gives_the_same_bytes(run, tmp_path):
    source = make_llama(tmp_path / "source")
    first = json.loads(run("register", str(source), "--model", "tiny-verbs", "--name", "tiny", "--json")[1])
    again = json.loads(run("register", str(source), "--model", "tiny-verbs", "--name", "tiny", "--json")[1])
    assert first["created"] is True
    assert again["created"] is False
    assert again["digest"] == first["digest"]
    assert (again["bytes_uploaded"], again["blobs_uploaded"]) == (0, 0)

    code, out, _ = run("fetch", first["digest"], str(tmp_path / "copy"), "--json")
    assert code == 0
    assert json.loads(out)["report"]["files"] == 2
    for path in source.iterdir():
        assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()
    code, out, _ = run("fetch", first["digest"][7:25], str(tmp_path / "copy"))
    assert code == 0
    assert "every sha256 checked" in out


def test_a_dry_run_changes_nothing(run, tmp_path):
    source = make_llama(tmp_path / "source", seed=7)
    done = json.loads(run("register", str(source), "--model", "tiny-dry", "--dry-run", "--json")[1])
    assert done["dry_run"] is True
    assert done["created"] is True
    assert run("show", done["digest"])[0] == 2


def test_a_label_that_contradicts_the_tensors_is_refused(run, tmp_path):
    source = make_llama(tmp_path / "source", seed=8)
    code, _, err = run("register", str(source), "--scheme", "int4")
    assert code != 0
    assert "int4" in err


def test_a_pickle_is_refused(run, tmp_path):
    source = make_llama(tmp_path / "source", seed=9)
    (source / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    code, _, err = run("register", str(source))
    assert code == 2
    assert "pytorch_model.bin" in err


def test_what_is_only_published_cannot_be_fetched_and_says_so(run, tmp_path):
    row = json.loads(run("variants", "--limit", "1", "--model", "llama-2-13b", "--json")[1])["items"][0]
    code, _, err = run("fetch", row["variant"]["id"], str(tmp_path / "x"))
    assert code == 2
    assert "publication" in err


def test_a_scenario_file_is_answered_and_a_wrong_field_is_named(run, tmp_path):
    good = tmp_path / "scenario.json"
    good.write_text(
        json.dumps({"model": {"kind": "size", "size_billions": 13}, "hardware": {"memory_bytes": 24 * 2**30}})
    )
    assert run("recommend", "--scenario", str(good))[0] == 0
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"modle": {}}))
    code, _, err = run("recommend", "--scenario", str(bad))
    assert code == 2
    assert "modle" in err


def test_a_server_that_is_not_there_is_unavailable_not_a_traceback(run):
    code, _, err = run("devices", "--server", "http://127.0.0.1:9")
    assert code == 1
    assert "Traceback" not in err
    assert "127.0.0.1:9" in err


def test_a_job_is_queued_shown_listed_and_cancelled(run, tmp_path):
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"kind": "build", "base": {"from": "reference"}, "recipe": {"recipe": "bf16"}}))
    made = json.loads(run("jobs", "--create", str(job), "--json")[1])
    assert made["state"] == "queued"
    assert made["spec"]["recipe"] == {"recipe": "bf16"}
    assert made["id"] in run("jobs", "--state", "queued")[1]
    assert json.loads(run("jobs", made["id"], "--cancel", "--json")[1])["state"] == "cancelled"
    assert "cancelled" in run("jobs", made["id"])[1]


def test_a_job_file_that_is_none_is_refused(run, tmp_path):
    job = tmp_path / "job.json"
    job.write_text("[]")
    code, _, err = run("jobs", "--create", str(job))
    assert code == 2
    assert "job.json" in err
