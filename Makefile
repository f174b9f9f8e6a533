# make run     ShareAI with everything it needs, on http://127.0.0.1:8000
# make test    every test, on real engines
# make lint    style, types, imports, templates, missing migrations
# make bench   the comparison with peers
# make css     the console's stylesheet and vendored scripts (needs Node.js; the result is committed)

SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUITABLE)' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install --no-compile  # what is imported, is compiled then
UNCONNECTED := SECRET_KEY=unused DATABASE_URL=postgresql:///unused  # settings load, and nothing is asked of a server
TEST_WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 2 )))  # half of a test is waiting
# A test that hangs says where, and the others go on; one that not even that can end takes its worker along.
TEST_LIMITS := --timeout 600 -o faulthandler_timeout=840 -o faulthandler_exit_on_timeout=true

# Some machines forbid Python to keep what it has compiled; then each of many processes takes three seconds to begin, not one.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test lint bench css venv dev programs

run: venv
	@exec $(BIN)/python -m console.embedded --with-parent

test: dev programs
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal $(TEST_LIMITS) $(ARGS)

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/djlint --lint --quiet templates
	$(UNCONNECTED) $(BIN)/mypy .
	$(UNCONNECTED) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

bench: dev
	$(BIN)/python -m bench $(ARGS)

css:
	npm install --no-save --no-audit --no-fund
	npm run vendor
	npm run css

venv: $(BIN)/activate
	@$(call install,requirements.txt)

dev: $(BIN)/activate
	@$(call install,requirements-dev.txt)

# A copy of what was installed tells whether it has to be installed again: a checkout changes times, not contents.
define install
cmp -s $(1) $(VENV)/$(1) || { \
	echo "Installing $(1) into $(VENV), which takes a minute or two when it is new." && \
	$(PIP) -r $(1) && cp $(1) $(VENV)/$(1); }
endef

$(BIN)/activate:
	@if [ -z "$(PYTHON)" ]; then \
		echo "ShareAI needs Python 3.11 to 3.14, and found $$(python3 --version 2>/dev/null || echo none)." \
			"Name one with: make run PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@echo "Creating $(VENV) with $$($(PYTHON) --version)."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# What some tests drive: a browser, a screen with a keyboard, a packet filter. Root on Debian gets them; others are told
# which are missing, and those tests skip themselves. Chromium's headless shell is the same engine without windows, which
# take as much of a machine as what is in them.
programs:
	@missing=$$( \
		for one in chromium-headless-shell chromium chromium-browser; do command -v $$one; done \
			| grep -q . || echo chromium-headless-shell; \
		command -v Xvfb >/dev/null || echo xvfb; \
		command -v xdotool >/dev/null || echo xdotool libxss1; \
		PATH="$$PATH:/usr/sbin" command -v nft >/dev/null || echo nftables); \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing for the tests:" $$missing; \
		export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && \
		{ apt-get install -y -qq $$missing >/dev/null || \
			apt-get install -y -qq $$(echo $$missing | sed s/chromium-headless-shell/chromium/) >/dev/null; }; \
	else echo "Tests that drive these are skipped, for they are not here:" $$missing; fi
