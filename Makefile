# Needs Python 3.11 or newer and make. Everything is installed into .venv, at the versions of constraints.txt.

BIN := .venv/bin
INSTALLED := .venv/.installed
PYTHON ?=

.DEFAULT_GOAL := help
.PHONY: help demo sweep-demo promotion-demo test chaos lint format bench clean

help:
	@echo "make demo           run notebooks/flight_delay.ipynb end to end"
	@echo "make sweep-demo     run the 30 trials of notebooks/flight_delay_sweep.ipynb"
	@echo "make promotion-demo play notebooks/flight_delay_promotion.ipynb through: what is refused, promoted and rolled back"
	@echo "make test           run the test suite"
	@echo "make chaos          kill a run 1,000 times, and let every passage of every write, fsync, commit and lock be killed, fail and find the disk full"
	@echo "make lint           check style, types, layers and spelling"
	@echo "make format         rewrite the code in the project's format"
	@echo "make bench          measure speed against peers, which go into build/benchmarks"
	@echo "make clean          remove .venv, build and the tools' caches; the store and the runs stay"

# The stamp is written last, so an installation that broke off is done again.
$(INSTALLED): pyproject.toml constraints.txt
	@rm -f $(INSTALLED)
	@set -e; \
	if ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		for candidate in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14; do \
			if $$candidate -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
		done; \
		if [ -z "$${found:-}" ]; then \
			echo "no Python 3.11 or newer with the module venv was found; install it, or run: make PYTHON=/path/to/python" >&2; exit 1; \
		fi; \
		rm -rf .venv; \
		echo "creating .venv with $$($$found --version)"; \
		$$found -m venv .venv; \
	fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo,test,dev]"
	@touch $(INSTALLED)

# The demo stays on this machine, whatever trackers your environment is set up for. Its last lines name the registered version and the gates.
demo: $(INSTALLED)
	@mkdir -p build
	@echo "To see the run and the model in MLflow: $(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db"
	@echo "then open the address that it prints, by default http://127.0.0.1:5000"
	@echo
	@unset MLFLOW_TRACKING_URI MLFLOW_REGISTRY_URI; NBMLOPS_TRACKERS=mlflow,wandb WANDB_MODE=offline NBMLOPS_TRACK_WAIT_S=60 \
		$(BIN)/nbmlops run notebooks/flight_delay.ipynb build/flight_delay.ipynb

# Repeated, it finds the 30 trials there and does none.
sweep-demo: $(INSTALLED)
	@unset MLFLOW_TRACKING_URI; NBMLOPS_TRACKERS=mlflow,wandb WANDB_MODE=offline \
		$(BIN)/nbmlops sweep notebooks/flight_delay_sweep.ipynb --trials 30 --maximize validation_roc_auc
	@echo
	@echo "The trials in MLflow:   $(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db"

# Another store and another registry, made anew each time; it stops where a step does not exit as it should.
promotion-demo: $(INSTALLED)
	@$(BIN)/python notebooks/promotion_story.py build/promotion

# Three for two cores: many tests wait for a disk, a server or a browser.
test: $(INSTALLED)
	$(BIN)/python -m pytest -n 3 --dist worksteal

# What `make test` does with 100 kills and the first passage of each failpoint; about a quarter of an hour on two idle cores.
chaos: $(INSTALLED)
	NBMLOPS_TEST_CHAOS=1 $(BIN)/python -m pytest -v -n 2 --dist worksteal -o faulthandler_timeout=1800

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: $(INSTALLED)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Ratios of one run, no test: what a shared machine takes differs too much from day to day.
bench: $(INSTALLED)
	@$(BIN)/python -m benchmarks

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
