# make demo: restyle a bundled photo.  make test: the whole test suite.  Each does its own set-up, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.PHONY: demo test lint figures models clean

demo: $(VENV)/run
	mkdir -p out
	$(BIN)/python -m qs_core stylize qs_core/demo/pictures/pagoda.jpg \
	  --prompt "a sketch with crayon" --output out/pagoda-crayon.png --report out/pagoda-crayon.json
	@echo "The restyled picture is out/pagoda-crayon.png"

test: $(VENV)/dev
	$(BIN)/python -m pytest

lint: $(VENV)/dev
	$(BIN)/ruff check .

# The table and the picture of the README, measured anew.
figures: $(VENV)/dev
	$(BIN)/python -m tools.measure

# Train the built-in models from scratch (about two hours on two cores); resumable.
models: $(VENV)/dev
	$(BIN)/python -m tools.train all

$(VENV)/run: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/run
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) out
