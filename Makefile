# Two commands do all their set-up on a fresh machine: `make demo` and `make test`.
VENV   ?= .venv
PYTHON ?= python3
BIN     = $(VENV)/bin

.PHONY: demo test slow lengthy lint format docs wheel readme bench clean

demo: $(VENV)/ready
	$(BIN)/neuralcodes demo

test: $(VENV)/ready lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

slow: $(VENV)/ready  # documented pages run, compiled passes, what takes half a minute or more
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist load -m slow

lengthy: $(VENV)/ready  # tests with servers and launchers of their own, minutes
	OMP_NUM_THREADS=1 $(BIN)/pytest -m lengthy

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv-docs/ready  # the site, into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet

wheel:  # built, installed in an empty environment, used
	$(PYTHON) tools/check_wheel.py

readme:  # followed word for word, in a fresh clone
	$(PYTHON) tools/follow_readme.py

.venv-docs/ready: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet $$($(PYTHON) tools/extra.py docs)
	touch $@

# Races us against the peers, all rows of results/bench/README.md; about half an hour on an idle
# machine. ROWS="map search" runs only these.
bench: $(VENV)/ready .venv-bench/ready
	$(BIN)/python benchmarks/bench.py $(ROWS)

# The peers' own environment, 3 GB: TensorFlow, vector stores and others that we do not depend on.
.venv-bench/ready: benchmarks/peers.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --no-deps --requirement benchmarks/peers.txt
	touch $@

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .venv-bench .venv-docs site build dist .mypy_cache .ruff_cache .import_linter_cache
