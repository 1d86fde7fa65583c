import subprocess
import sys

import pytest

from planner.cli.main import VERBS, main


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_offers_json(verb, capsys):
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--json" in out
    assert "Usage" in out


def test_an_unknown_verb_is_a_usage_error(capsys):
    assert main(["recomend", "x"]) == 2
    assert "recomend" in capsys.readouterr().err


def test_the_version_is_the_package_version():
    done = subprocess.run(
        [sys.executable, "-m", "planner.cli", "--version"], capture_output=True, text=True, check=True
    )
    from planner import __version__

    assert __version__ in done.stdout


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m planner.cli --help | head -c 10"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
