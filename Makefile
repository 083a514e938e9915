# `make run` and `make test` are all the set-up there is.
PORT ?= 8000
PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONUNBUFFERED := 1
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: run setup setup-dev packages test lint lint-stack audit bench faults install-test lock clean

run: setup ## the whole portal on http://127.0.0.1:$(PORT)
	@python manage.py prepare --demo --port $(PORT)
	@echo "Portal: http://127.0.0.1:$(PORT)   (passkeys want a name: http://localhost:$(PORT); Ctrl-C ends it)"
	@PORTAL_PORT=$(PORT) exec honcho start

setup: .venv/.installed ## the virtual environment and what the portal needs

setup-dev: .venv/.installed-dev ## the same, and what checking it needs

.venv/.installed: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing what the portal needs (about 2 GB on the disk, once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

packages: ## Debian packages of the integration tests, where that is possible
	@sh tests/install-packages.sh

test: setup-dev packages ## every test, two files at a time; with ARGS those that it chooses, one at a time
ifdef ARGS
	@pytest $(ARGS)
else
	@failed=0; pytest -n 2 --dist loadfile -m "not alone" || failed=1; pytest -m alone || failed=1; exit $$failed
endif

lint: setup-dev ## every check that needs no running portal
	@ruff format --check .
	@ruff check .
	@mypy
	@lint-imports
	@djlint templates --check --lint
	@shellcheck -x tests/install-packages.sh .ci/run deploy/install.sh deploy/roles/*.sh deploy/manage.sh deploy/backup/permit.sh deploy/nginx/render.sh deploy/cloudformation/*.sh
	@cfn-lint deploy/cloudformation/*.yaml
	@python manage.py makemigrations --check --dry-run --settings tests.settings
	@python -m tests.audit

lint-stack: build/checkov-venv/.installed ## security checks of the AWS templates, in an environment of their own (0.3 GB)
	@build/checkov-venv/bin/checkov --directory deploy/cloudformation --framework cloudformation --compact --quiet --skip-download

build/checkov-venv/.installed: deploy/cloudformation/requirements-checkov.txt
	@$(PYTHON) -m venv build/checkov-venv
	@build/checkov-venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

audit: setup-dev ## known vulnerabilities of what is pinned, outside audit-exceptions.txt; fails where nobody can be asked
	@AUDIT_REQUIRED=1 python -m tests.audit

bench: setup-dev packages ## benchmarks: a table, and JSON under build/
	@python -m tests.bench
	@python -m tests.bench.model
	@python -m tests.bench.training_input
	@python -m tests.bench.accelerator
	@python -m tests.bench.slow_connections

faults: setup-dev packages ## every fault of the matrix against the running portal: make faults N=1000, FAULT=F1, SEED=7, NETWORK=1, SOAK=30
	@python -m tests.faults --count $(or $(N),200) --seed $(or $(SEED),1) $(if $(FAULT),--fault $(FAULT)) $(if $(NETWORK),--network) $(if $(SOAK),--soak $(SOAK))

install-test: export CLEAN_DEBIAN := 1
install-test: setup-dev packages ## install.sh in a clean Debian root; downloads over 2 GB, needs root and debootstrap
	@pytest tests/deploy/test_install.py -k clean_debian -s

lock: setup-dev ## pin the newest versions that requirements*.in allow
	@pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements.txt requirements.in
	@pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o requirements-dev.txt requirements-dev.in
	@pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -o deploy/cloudformation/requirements-checkov.txt deploy/cloudformation/requirements-checkov.in

clean: ## everything that can be made again; var/ stays
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache
