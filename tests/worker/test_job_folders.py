from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worker.job_folders import job_folder, sweep

pytestmark = pytest.mark.worker
ROOT = Path(__file__).resolve().parents[2]
_HOLD = """
import sys, time
from pathlib import Path
from worker.job_folders import job_folder
with job_folder(Path(sys.argv[1]), "held") as folder:
    (folder / "files").mkdir()
    (folder / "files" / "model").write_bytes(b"x")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_gone_after_its_job(tmp_path: Path) -> None:
    with job_folder(tmp_path, "../odd name-1") as folder:
        assert folder.parent == tmp_path / "jobs"
        (folder / "result").write_text("x")
        assert sweep(tmp_path) == 0, "never while it is used"
        assert folder.exists()
    assert not folder.exists()
    with pytest.raises(RuntimeError), job_folder(tmp_path, "again") as folder:
        raise RuntimeError
    assert not folder.exists()


def test_what_a_killed_worker_left_is_swept_and_what_another_uses_is_not(tmp_path: Path) -> None:
    assert sweep(tmp_path / "new") == 0
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert sweep(tmp_path) == 0
        process.kill()
    assert (tmp_path / "jobs" / "held" / "files").exists()
    assert sweep(tmp_path) == 1
    assert list((tmp_path / "jobs").iterdir()) == []
