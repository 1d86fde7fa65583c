"""Structure that no import linter sees: what importing really loads, and how large files grow."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_BYTES = 25_000


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import planner.api.app", {"torch", "transformers", "torchao", "safetensors"}),
        ("import planner.workspace", {"torch", "litestar", "rich", "scipy"}),
        ("import planner.cli.main", {"litestar", "sqlalchemy", "httpx", "numpy", "torch"}),
        ("import planner.domain.outcome", {"sqlalchemy", "litestar", "httpx", "rich", "torch", "lark"}),
        ("import worker.cli", {"torch", "transformers", "litestar", "sqlalchemy"}),
    ],
)
def test_importing_loads_nothing_heavy(statement: str, never: set[str]) -> None:
    assert modules_after(statement) & never == set()


def test_no_module_outgrows_its_name() -> None:
    sources = [*ROOT.glob("planner/**/*.py"), *ROOT.glob("worker/**/*.py"), *ROOT.glob("migrations/**/*.py")]
    assert len(sources) > 50
    assert {
        str(path.relative_to(ROOT)): size for path in sources if (size := path.stat().st_size) > MAX_BYTES
    } == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    names = {path.stem for path in [*ROOT.glob("planner/**/*.py"), *ROOT.glob("worker/**/*.py")]}
    assert names & {"utils", "util", "helpers", "helper", "common", "misc", "manager", "tools"} == set()
