# Two commands set everything up on a machine that has nothing but Python: make demo, make test.

PYTHON ?= python3
VENV ?= .venv
# The tests run on every backend that is there; PyTorch is large and stays the user's choice.
EXTRAS ?= test,jax
# Other extras are another set-up.
TESTABLE = $(VENV)/.test-$(EXTRAS)
EPOCHS ?= 150
RUN ?= runs/elasticity

.PHONY: demo test nightly test-loihi tutorials lint docs clean

# LIF, 3 x 128, on ramps of five steps; the modern recipe gets there in a tenth of the paper's epochs.
demo: $(VENV)/.demo
	$(VENV)/bin/kspike-reg train --task elasticity --kind lif --timesteps 5 --recipe modern --epochs $(EPOCHS) --out $(RUN)

test: $(TESTABLE)
	$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
		--deselect tests/test_tutorials.py::test_a_tutorial_runs_and_its_key_numbers_hold

# Every attack on the package, the hours of it: signals at 50 moments of each command, thousands of drawn cases.
nightly: $(TESTABLE)
	$(VENV)/bin/python profiling/reliability.py

# Runs every notebook and compares its key numbers: minutes, so apart from the tests.
tutorials: $(VENV)/.tutorials
	$(VENV)/bin/python -m pytest --numprocesses 2 tests/test_tutorials.py

# Nengo Loihi wants NumPy below 2, which JAX does not: an environment of its own.
test-loihi: $(VENV)-loihi/.test
	$(VENV)-loihi/bin/python -m pytest $(wildcard tests/*/test_loihi*.py) tests/bridges/test_export_command.py

lint: $(TESTABLE)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

# The site, in build/site; warnings are errors.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 TF_CPP_MIN_LOG_LEVEL=2 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "the site is in build/site; open build/site/index.html"

clean:
	rm -rf $(VENV) $(VENV)-loihi build *.egg-info

%/bin/python:
	$(PYTHON) -m venv $*
	$*/bin/python -m pip install -qq --upgrade pip

$(VENV)/.demo: $(VENV)/bin/python setup.cfg
	$(VENV)/bin/python -m pip install -qq --editable .
	touch $@

$(VENV)/.docs: $(VENV)/bin/python setup.cfg
	$(VENV)/bin/python -m pip install -qq --editable '.[docs]'
	touch $@

$(VENV)/.tutorials: $(VENV)/bin/python setup.cfg
	$(VENV)/bin/python -m pip install -qq --editable '.[test,tutorials]'
	touch $@

$(TESTABLE): $(VENV)/bin/python setup.cfg
	$(VENV)/bin/python -m pip install -qq --editable '.[$(EXTRAS)]'
	touch $@

$(VENV)-loihi/.test: $(VENV)-loihi/bin/python setup.cfg
	$(VENV)-loihi/bin/python -m pip install -qq --editable '.[test,loihi]'
	touch $@

# What follows makes the recorded results again; it takes from minutes (figures) to hours (studies, models).
.PHONY: figures studies models

figures: demo
	$(VENV)/bin/kspike-reg train --task elasticity --kind lif --timesteps 5 --epochs 2000 --out runs/paper_settings
	cp $(RUN)/metrics.json $(RUN)/loss.png $(RUN)/predictions.png docs/demo/
	cp runs/paper_settings/metrics.json docs/paper_settings/

# Every study by the command that its own record tells.
studies: $(patsubst docs/studies/%/results.json,runs/studies/%/results.json,$(wildcard docs/studies/*/results.json))

runs/studies/%/results.json: $(VENV)/.demo
	$(VENV)/bin/$$(sed -n 's/^  "command": "\(.*\)",$$/\1/p' docs/studies/$*/results.json) --workers 2 --out $(@D)
	cp $(@D)/*.md $(@D)/*.csv $(@D)/*.json $(@D)/*.png docs/studies/$*/

# Every trained network by the command on its own card.
models: $(patsubst models/%/card.md,runs/models/%/model.keras,$(wildcard models/*/card.md))

runs/models/%/model.keras: $(VENV)/.demo
	$(VENV)/bin/$$(sed -n 's/^    \(kspike-reg train .*\) --out FOLDER$$/\1/p' models/$*/card.md) --out $(@D)
	cp $(@D)/model.keras $(@D)/card.md $(@D)/metrics.json models/$*/
