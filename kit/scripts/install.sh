#!/usr/bin/env bash
# Installs the command line unless there is one. INPUT_PACKAGE: what pip is given, such as variant-planner==1.2.
set -euo pipefail
if command -v planner >/dev/null; then
  planner --version
  exit 0
fi
python3 -m pip install --quiet --disable-pip-version-check "${INPUT_PACKAGE:-variant-planner}"
planner --version
