# Two commands set everything up on a machine that has nothing but Python: make demo, make test.

PYTHON ?= python3
VENV ?= .venv
# The tests run on every backend that is there; PyTorch is large and stays the user's choice.
EXTRAS ?= test,jax
# Other extras are another set-up.
TESTABLE = $(VENV)/.test-$(EXTRAS)
EPOCHS ?= 150
RUN ?= runs/elasticity

.PHONY: demo test lint clean

# LIF, 3 x 128, on ramps of five steps; batches of 128 in place of the paper's 1024 get there in a tenth of the epochs.
demo: $(VENV)/.demo
	$(VENV)/bin/kspike-reg train --task elasticity --kind lif --timesteps 5 --batch-size 128 --epochs $(EPOCHS) --out $(RUN)

test: $(TESTABLE)
	$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(TESTABLE)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

clean:
	rm -rf $(VENV) build *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -qq --upgrade pip

$(VENV)/.demo: $(VENV)/bin/python setup.cfg
	$(VENV)/bin/python -m pip install -qq --editable .
	touch $@

$(TESTABLE): $(VENV)/bin/python setup.cfg
	$(VENV)/bin/python -m pip install -qq --editable '.[$(EXTRAS)]'
	touch $@

# The copies in docs/ that the README shows; the second run takes some minutes.
.PHONY: figures
figures: demo
	$(VENV)/bin/kspike-reg train --task elasticity --kind lif --timesteps 5 --epochs 2000 --out runs/paper_settings
	cp $(RUN)/metrics.json $(RUN)/loss.png $(RUN)/predictions.png docs/demo/
	cp runs/paper_settings/metrics.json docs/paper_settings/
