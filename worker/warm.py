"""What every job's process needs, imported once: the fork server loads this module and each job starts as its copy.

Only for work on the CPU: CUDA does not survive a fork, so jobs on a GPU get a fresh interpreter.
"""

from __future__ import annotations

from worker.engines.loading import import_libraries

import_libraries()

import worker.evaluate.evaluation  # noqa: E402
import worker.measure.profile  # noqa: E402
import worker.tasks  # noqa: E402, F401
