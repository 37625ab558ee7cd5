# make demo: restyle a bundled photo.  make test: what a change must pass.  make test-all: the slow tests as well.
# Each does its own set-up, in .venv.
# make comfyui: a local ComfyUI with the pack in it, COMFYUI_PATH's or one of its own; make comfyui ARGS="--port 8189".
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.PHONY: demo test test-all lint figures evaluate models comfyui comfyui-test comfyui-snapshot clean

demo: $(VENV)/run
	mkdir -p out
	$(BIN)/python -m qs_core stylize qs_core/demo/pictures/pagoda.jpg \
	  --prompt "a sketch with crayon" --output out/pagoda-crayon.png --report out/pagoda-crayon.json
	@echo "The restyled picture is out/pagoda-crayon.png"

test: $(VENV)/dev
	$(BIN)/python -m pytest -m "not slow"

test-all: $(VENV)/dev
	$(BIN)/python -m pytest

lint: $(VENV)/dev
	$(BIN)/ruff check .

comfyui:
	$(PYTHON) tools/comfyui.py $(ARGS)

# Needs COMFYUI_PATH and COMFYUI_PYTHON.  What else is missing is skipped, and named: comfy-cli, comfy-test, a browser.
comfyui-test: $(VENV)/host
	$(BIN)/python -m pytest tests/comfyui -rs

# Writes tests/comfyui/object_info.json anew, after a change of the nodes that is meant.
comfyui-snapshot: $(VENV)/host
	$(BIN)/python tests/comfyui/snapshot.py

# The table and the picture of the README, measured anew.
figures: $(VENV)/dev
	$(BIN)/python -m tools.measure

# Whether query selection pays: the held-out comparison of docs/evaluation.md, its tables and figures.  Resumable.
# make evaluate ARGS=--quick: a few small edits, to see that all works.
evaluate: $(VENV)/dev
	$(BIN)/python -m tools.evaluation confirm $(or $(ARGS),--docs)

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

$(VENV)/host: $(VENV)/dev
	$(BIN)/python -m pip install --quiet websocket-client playwright comfy-cli
	touch $@

clean:
	rm -rf $(VENV) out
