# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
OUT ?= out
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SEEDS ?= 10 11 12 13 14
MINUTES ?= 10
FULL_SEEDS ?= 10 11 12
TASK_SEEDS ?= 10 11 12
VALUES := --method committee --method metav --method local
CLASSES := $(VALUES) --method ipguard --method akh --method sac
BENCH ?= .bench
FOREIGN := .venv-foreign
STRANGERS ?= adult-3 digits-1 fashion-1 warfarin-1
COVER ?=
LOWEST := .venv-lowest
CLOUDS := .venv-clouds
WATCH := .venv-watch
CLUSTERS := .venv-clusters
DATA ?= ../shared/data

.PHONY: help fix docs test-lowest demo test test-soak test-peers test-clouds test-clusters test-watch check lint types floors bench bench-tasks bench-scarce bench-shift bench-full bench-dither bench-ancestors bench-program bench-client bench-verify fuzz fixtures clean bench-served bench-trees

demo: $(READY)  ## the main job on scikit-learn's digits: OUT=folder
	$(BIN)/metav-audit demo --out $(OUT)

test: $(READY)  ## every test but the soak's, those of many cases at a smaller count
	$(BIN)/python -m pytest -n auto -m "not soak" $(COVER)

test-soak: $(READY)  ## storms, kills, whole zoos and the drill, every case
	SOAK=1 $(BIN)/python -m pytest -n auto -m "soak or scaled"

# The frozen transcript's scripted server writes its JSON by httpx, which spaced it otherwise before 0.28.
test-lowest:  ## the auditor's side with the lowest versions that pyproject.toml promises, in an environment of its own
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(PYTHON) tests/lowest.py > $(LOWEST)/requirements.txt
	$(LOWEST)/bin/python -m pip install -q --disable-pip-version-check -r $(LOWEST)/requirements.txt \
	  pytest pytest-timeout hypothesis securesystemslib
	PYTHONPATH=.:adapters $(LOWEST)/bin/python -m pytest -o addopts=-q -o filterwarnings=default -m "not soak and not scaled" \
	  tests/bundle/test_folder.py tests/bundle/test_target_bits.py tests/statistics/test_plots.py tests/task tests/transcript \
	  tests/verdict tests/report/test_build.py tests/audit/test_client.py --ignore tests/task/test_answers.py \
	  --deselect tests/transcript/test_records.py::test_an_audit_today_writes_the_frozen_records

test-peers: $(READY)  ## the client against real model servers, each in an environment of its own: see docs/peers.md
	$(BIN)/python -m tests.peers.prepare
	$(BIN)/python -m pytest tests/peers

test-clouds:  ## credentials by botocore, google-auth and azure-identity, against moto and the loopback, in an environment of its own
	test -x $(CLOUDS)/bin/python || $(PYTHON) -m venv $(CLOUDS)
	$(CLOUDS)/bin/python -m pip install -q --disable-pip-version-check -c tests/clouds/constraints.txt -e '.[aws,gcp,azure]' \
	  'moto[server]' pytest pytest-timeout hypothesis securesystemslib
	PYTHONPATH=.:adapters $(CLOUDS)/bin/python -m pytest -o addopts=-q tests/clouds tests/audit/test_credentials.py tests/audit/test_signing.py

test-clusters:  ## the zoo on Ray and Dask clusters of two workers, one of them killed, and on moto's S3, in an environment of its own
	test -x $(CLUSTERS)/bin/python || $(PYTHON) -m venv $(CLUSTERS)
	$(CLUSTERS)/bin/python -m pip install -q --disable-pip-version-check -c tests/clusters/constraints.txt -e '.[train,dask,ray,s3]' \
	  'moto[server]' hypothesis psutil pytest pytest-timeout tomlkit
	PYTHONPATH=.:adapters $(CLUSTERS)/bin/python -m pytest -o addopts=-q -o timeout=600 tests/clusters

test-watch:  ## the watch on PostgreSQL, a year of it, and its page in Chromium; what is missing is installed (apt-get)
	ls /usr/lib/postgresql/*/bin/initdb && command -v chromium || { apt-get update -q && apt-get install -qy chromium postgresql; }
	test -x $(WATCH)/bin/python || $(PYTHON) -m venv $(WATCH)
	$(WATCH)/bin/python -m pip install -q --disable-pip-version-check -c tests/watch/constraints.txt -e '.[watch,postgresql]' \
	  axe-playwright-python check-jsonschema hypothesis jsonschema kubernetes-validate playwright prometheus-client \
	  pytest pytest-timeout pytest-xdist
	SOAK=1 WHOLE_YEAR=1 PYTHONPATH=.:adapters $(WATCH)/bin/python -m pytest -n auto --dist loadscope tests/watch

check: lint types floors docs  ## exactly what CI runs: all of these, make test with its coverage, the soak
	$(MAKE) test COVER="--cov --cov-report=term:skip-covered"
	$(MAKE) test-soak

lint: $(READY)  ## ruff, and whether the format is its own
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fix: $(READY)  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

help:  ## this list
	@grep -hE "^[a-z-]+:.*##" $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | while IFS="	" read -r name words; do \
	  echo "$$words" | fold -sw 57 | sed -E "1s/^/$$name	/; 2,\$$s/^/	/; s/ +$$//"; \
	done | awk -F "	" '{ printf "  %-19s%s\n", ($$1 ? "make " $$1 : ""), $$2 }'

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

floors: $(READY)  ## the import contracts
	$(BIN)/lint-imports --no-logo

bench: $(READY)  ## five targets on digits, against the IPGuard baseline, in 15 minutes on two cores; what stands in BENCH is used again
	for seed in $(SEEDS); do \
	  test -f $(BENCH)/digits-$$seed/project.toml || $(BIN)/metav-audit init --digits --seed $$seed $(BENCH)/digits-$$seed || exit 1; \
	done
	$(BIN)/metav-audit evaluate $(foreach seed,$(SEEDS),$(BENCH)/digits-$(seed))

bench-foreign: $(FOREIGN)/.ready  ## suspects that others made, on STRANGERS targets; an environment of its own; data in DATA
	$(FOREIGN)/bin/python -m tests.bench.foreign.figures $(STRANGERS) --data-dir $(DATA) --root $(BENCH)/foreign \
	  --preset quick --method siblings --method committee --method metav --method ipguard --method irisfp --method anafp --queries 16 --queries 64 --queries 256

bench-ancestors: $(FOREIGN)/.ready  ## owners, rivals and thieves of one public ancestor, its head kept or drawn anew; data in DATA; an hour
	OMP_NUM_THREADS=1 $(FOREIGN)/bin/python -m tests.bench.foreign.ancestors digits fashion --data-dir $(DATA) --root $(BENCH)/foreign
bench-trees: $(FOREIGN)/.ready  ## boosted trees of three libraries on Adult incomes as targets, and strangers' copies of them; data in DATA
	OMP_NUM_THREADS=1 $(FOREIGN)/bin/python -m tests.bench.trees extreme-1 light-1 histogram-1 --queries 512 --data-dir $(DATA) \
	  --root $(BENCH)/trees

bench-log: $(FOREIGN)/.ready  ## the owner's request log against strangers' thieves, alone and among 19 other accounts, on STRANGERS, and of boosted trees; data in DATA
	$(FOREIGN)/bin/python -m tests.bench.foreign.requests $(filter-out warfarin-%,$(STRANGERS)) --others 0 --others 19 --data-dir $(DATA) \
	  --root $(BENCH)/foreign --preset quick
	OMP_NUM_THREADS=1 $(FOREIGN)/bin/python -m tests.bench.foreign.tree_requests --queries 64 --queries 256 --data-dir $(DATA) --root $(BENCH)

bench-tasks: $(READY)  ## skin lesions, warfarin dosing on TASK_SEEDS, garments; data in DATA; about three hours on two cores
	for seed in $(TASK_SEEDS); do \
	  test -f $(BENCH)/warfarin-$$seed/project.toml || \
	  $(BIN)/python -m tests.bench.tasks warfarin $(BENCH)/warfarin-$$seed --seed $$seed --data-dir $(DATA) || exit 1; \
	done
	for task in lesions garments; do \
	  test -f $(BENCH)/$$task-0/project.toml || \
	  $(BIN)/python -m tests.bench.tasks $$task $(BENCH)/$$task-0 --data-dir $(DATA) || exit 1; \
	done
	$(BIN)/metav-audit evaluate $(foreach seed,$(TASK_SEEDS),$(BENCH)/warfarin-$(seed)) $(VALUES) --held-out family --held-out architecture
	$(BIN)/metav-audit evaluate $(BENCH)/garments-0 $(VALUES) --held-out family --held-out architecture
	$(BIN)/metav-audit evaluate $(BENCH)/lesions-0 $(CLASSES) --wire png --wire jpeg-90 --wire resized
	$(BIN)/metav-audit evaluate $(BENCH)/lesions-0 --method committee --method metav --held-out family --held-out architecture

bench-scarce: $(READY)  ## one trained model a side and its checkpoints, on digits and warfarin; SEEDS targets each
	for seed in $(SEEDS); do \
	  test -f $(BENCH)/scarce-digits-$$seed/project.toml || \
	  $(BIN)/metav-audit init --digits --preset scarce --seed $$seed $(BENCH)/scarce-digits-$$seed || exit 1; \
	  test -f $(BENCH)/scarce-warfarin-$$seed/project.toml || $(BIN)/python -m tests.bench.tasks warfarin \
	  $(BENCH)/scarce-warfarin-$$seed --preset scarce --seed $$seed --data-dir $(DATA) || exit 1; \
	done
	for task in digits warfarin; do \
	  $(BIN)/metav-audit evaluate $(foreach seed,$(SEEDS),$(BENCH)/scarce-$$task-$(seed)) $(VALUES) || exit 1; \
	done

bench-shift: $(READY)  ## architectures and data that calibration never saw, at a promised 1 % and at 5 %, on FULL_SEEDS and SEEDS
	for seed in $(SEEDS); do \
	  test -f $(BENCH)/digits-$$seed/project.toml || $(BIN)/metav-audit init --digits --seed $$seed $(BENCH)/digits-$$seed || exit 1; \
	done
	for seed in $(FULL_SEEDS); do \
	  test -f $(BENCH)/strict-$$seed/project.toml && continue; \
	  $(BIN)/metav-audit init --digits --seed $$seed $(BENCH)/strict-$$seed && \
	  printf '\n[rates]\nfalse_match = 0.01\n' >> $(BENCH)/strict-$$seed/project.toml || exit 1; \
	done
	$(BIN)/metav-audit evaluate $(foreach seed,$(FULL_SEEDS),$(BENCH)/strict-$(seed)) --method committee --held-out architecture --held-out data
	$(BIN)/metav-audit evaluate $(foreach seed,$(SEEDS),$(BENCH)/digits-$(seed)) --method committee --held-out architecture

bench-full: $(READY)  ## three targets on digits with every way to copy: in family, by view, and each family left out; about an hour
	for seed in $(FULL_SEEDS); do \
	  test -f $(BENCH)/full-$$seed/project.toml || \
	  $(BIN)/metav-audit init --digits --preset full --seed $$seed $(BENCH)/full-$$seed || exit 1; \
	done
	$(BIN)/metav-audit evaluate $(foreach seed,$(FULL_SEEDS),$(BENCH)/full-$(seed)) --method committee --method metav \
	  --view label --view 2-decimals --view top3 --held-out family

bench-program: $(FOREIGN)/.ready  ## targets trained otherwise than their siblings, and whether a replay gives the target again; data in DATA; an hour
	for owner in digits-1 adult-3 trees-3; do \
	  OMP_NUM_THREADS=1 $(FOREIGN)/bin/python -m tests.bench.foreign.wrong_programs $$owner --targets 20 --data-dir $(DATA) --root $(BENCH)/programs || exit 1; \
	done
	$(FOREIGN)/bin/python -m tests.bench.foreign.replays --targets 20 --data-dir $(DATA) --root $(BENCH)/programs

bench-dither: $(FOREIGN)/.ready  ## thieves of dithered answers: who is found, who is accused, what coins cost; and the middleware's cost
	$(FOREIGN)/bin/python -m tests.bench.foreign.dither digits-0 digits-1 --data-dir $(DATA) --root $(BENCH)/foreign
	$(BIN)/python -m tests.bench.dithering

bench-served: $(FOREIGN)/.ready  ## thieves of a language model's served answers by what their API shows, and innocents' p-values; data in DATA; an hour
	OMP_NUM_THREADS=1 $(FOREIGN)/bin/python -m tests.bench.foreign.served --shows log-probabilities tokens --data-dir $(DATA) --root $(BENCH)/foreign
	OMP_NUM_THREADS=1 $(FOREIGN)/bin/python -m tests.bench.foreign.served --shows text --prompts 300 --data-dir $(DATA) --root $(BENCH)/foreign
	OMP_NUM_THREADS=1 $(FOREIGN)/bin/python -m tests.bench.foreign.served --drill 5 --data-dir $(DATA) --root $(BENCH)/foreign

bench-client: $(READY)  ## the client's speed beside bare httpx, and its memory over 100,000 queries
	$(BIN)/python -m tests.bench.throughput

fuzz: $(READY)  ## files and answers changed at random, MINUTES for each that reads them
	$(BIN)/python -m tests.bench.fuzz --minutes $(MINUTES)

bench-verify: $(READY)  ## how long the verification of an audit of 1,000 queries takes
	$(BIN)/python -m tests.bench.verification

fixtures: $(READY)  ## make the frozen inputs of tests again; git diff stays empty
	$(BIN)/python fixtures/make_fixtures.py
	$(BIN)/python -m tests.transcript.scripted

$(FOREIGN)/.ready: pyproject.toml constraints.txt
	test -x $(FOREIGN)/bin/python || $(PYTHON) -m venv $(FOREIGN)
	$(FOREIGN)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[train,bench]'
	touch $@

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $@

clean:  ## remove the environments and what was built
	rm -rf $(VENV) $(FOREIGN) $(LOWEST) $(CLOUDS) $(CLUSTERS) $(WATCH) build dist site *.egg-info
