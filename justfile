# Needs https://just.systems; each recipe is a line or two that can be run by hand as well.

python := "python3"
bin := ".venv/bin"

# list the recipes
default:
    @just --list

# make .venv with the tested versions of everything
setup:
    {{python}} -m venv .venv
    {{bin}}/pip install -e ".[dev]" -c constraints.txt

# run the tests; `just test tests/models` runs some of them
test *paths:
    {{bin}}/python -m pytest {{paths}}

# style, types, and the directions of imports
lint:
    {{bin}}/ruff check
    {{bin}}/ruff format --check
    {{bin}}/mypy
    {{bin}}/lint-imports

# remake the generated pages under docs/
docs:
    set -e; for script in docs/make_*.py; do [ ! -e "$script" ] || {{bin}}/python "$script"; done

# run the benchmarks; each writes a dated file beside itself
bench:
    set -e; for script in benchmarks/bench_*.py; do [ ! -e "$script" ] || {{bin}}/python "$script"; done

# remake the weight-free graph templates (30 to 40 s, needs torch)
template:
    {{bin}}/python dev/make_templates.py
