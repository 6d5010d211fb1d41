# KERAS_BACKEND=tensorflow (the default), jax or torch chooses the backend.
KERAS_BACKEND ?= tensorflow
export KERAS_BACKEND
PYTHON ?= python3
BIN := .venv/bin
RUN := runs/digits

# A SavedModel takes TensorFlow to write and to serve, whatever trained the model.
comma := ,
backends := tensorflow$(if $(filter-out tensorflow,$(KERAS_BACKEND)),$(comma)$(KERAS_BACKEND))
# Keras leaves XLA off for TensorFlow on a CPU, where it halves the time of this model.
fit_options := $(if $(filter tensorflow,$(KERAS_BACKEND)),--jit_compile=true)

.PHONY: demo test floors lint bench guides

demo: .venv/demo-$(KERAS_BACKEND)
	$(BIN)/keras-perceiver fit image-classifier --config guides/configs/digits.yaml \
	    --output=$(RUN) --overwrite=true $(fit_options)
ifeq ($(KERAS_BACKEND),torch)
	KERAS_BACKEND=tensorflow $(BIN)/keras-perceiver export $(RUN) --output=$(RUN)/saved_model
endif
	@# A fresh process, which does not import this package.
	$(BIN)/python examples/serve_saved_model.py $(RUN)/saved_model

.venv/demo-$(KERAS_BACKEND): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e '.[$(backends),data,cli]'
	touch $@

# Two test processes at a time; BACKENDS=jax make test runs one backend alone. Slow tests
# run on one backend each; PYTEST='-q -n 2' make test runs them on all.
BACKENDS ?= tensorflow jax torch
PYTEST ?= -q -n 2 --slow-once
# Threads of two processes that wait for each other by spinning make tests several times slower.
test: export OMP_WAIT_POLICY := PASSIVE

test: .venv/test
	@for backend in $(BACKENDS); do \
	    echo "== $$backend"; \
	    KERAS_BACKEND=$$backend $(BIN)/python -m pytest $(PYTEST) || exit 1; \
	done

# The lowest versions that pyproject.toml allows, in an environment of their own; without
# PyTorch, whose lowest version brings gigabytes of CUDA. These know fewer options of XLA.
FLOOR_TESTS := tests/test_contracts.py tests/cli/test_cli.py tests/presets/test_presets.py \
    $(addprefix tests/data/test_,causal_batches.py pipeline.py sources.py token_ids.py) \
    $(addprefix tests/preprocessing/test_,midi_sound.py tokenizers_trained.py video.py)

floors: .venv-floors/done
	@for backend in jax tensorflow; do \
	    echo "== $$backend, lowest versions"; \
	    KERAS_BACKEND=$$backend XLA_FLAGS=--xla_backend_optimization_level=0 \
	        .venv-floors/bin/python -m pytest -q -n 2 --slow-once \
	        $(FLOOR_TESTS) $$(test $$backend = tensorflow || echo --all-here) || exit 1; \
	done

lint: .venv/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: .venv/bench
	@for bench in benchmarks/bench_*.py; do $(BIN)/python $$bench || exit 1; done

KERNEL := {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}

guides: .venv/test
	@mkdir -p notebooks
	@for guide in guides/*.py; do \
	    $(BIN)/jupytext --to ipynb --update-metadata '$(KERNEL)' \
	        --output notebooks/$$(basename $$guide .py).ipynb $$guide && \
	    $(BIN)/python $$guide || exit 1; \
	done

.venv/test: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[all,test]'
	touch $@

.venv-floors/done: pyproject.toml
	test -x .venv-floors/bin/python || $(PYTHON) -m venv .venv-floors
	.venv-floors/bin/python -m pip install -q uv
	.venv-floors/bin/uv pip install -q --python .venv-floors/bin/python \
	    --resolution lowest-direct -e '.[tensorflow,jax,data,text,audio,vision,cli,check]'
	touch $@

.venv/bench: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[all,bench]'
	touch $@

.venv/lint: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q $$(sed -n 's/^dev = \["\(.*\)"\]/\1/p' pyproject.toml)
	touch $@
