# make demo   the main job, offline
# make test   the tests
# make lint   ruff, mypy, import-linter
# make docs   the documentation as a site, in site/
# Each sets up what it needs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo figures test lint docs clean

$(VENV)/.ready: pyproject.toml constraints.txt tools/make_venv.sh
	PYTHON="$(PYTHON)" bash tools/make_venv.sh "$(VENV)"
	touch $@

test: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

demo: $(VENV)/.ready
	$(BIN)/edgeyolo demo --output demo-output

lint: $(VENV)/.ready
	$(BIN)/ruff check edgeyolo exporters runtimes calibration tests benchmarks examples tools
	$(BIN)/ruff format --check edgeyolo exporters runtimes calibration tests benchmarks examples tools
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.ready
	$(BIN)/mkdocs build --strict

# Sizes, import cycles, and the coverage of the whole suite against its bars.
figures: $(VENV)/.ready
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage json --quiet
	$(BIN)/python tools/code_figures.py --coverage coverage.json

clean:
	rm -rf $(VENV) build dist site *.egg-info
