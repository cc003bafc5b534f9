#!/usr/bin/env bash
# Make (or complete) a virtual environment with everything that developing and testing needs.
# usage: PYTHON=python3 tools/make_venv.sh .venv
set -euo pipefail
venv=$1
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    { echo "edgeyolo needs Python 3.10 or newer; $python is $("$python" -V)" >&2; exit 1; }
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check"
# torch first and by its exact version: a CPU build where one is offered. Asked for through a
# range, pip takes the newest, which brings 3 GB of CUDA packages.
$pip install --quiet "torch==$(sed -n 's/^torch==//p' constraints.txt)"
$pip install --quiet --constraint constraints.txt --editable '.[dev]'
