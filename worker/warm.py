"""What every job's process needs, imported once: the fork server loads this module and each job starts as its copy.

Only for work on the CPU: CUDA does not survive a fork, so jobs on a GPU get a fresh interpreter.
"""

from __future__ import annotations

from importlib import import_module

from worker.engines.loading import import_libraries

import_libraries()
import_module("worker.tasks")
