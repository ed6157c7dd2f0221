# Needs https://just.systems. Each recipe is a line or two that you can also run by hand.

python := "python3"
bin := ".venv/bin"

# list the recipes
default:
    @just --list

# create .venv with the tested version of everything
setup:
    {{python}} -m venv .venv
    {{bin}}/pip install -e ".[dev]" -c constraints.txt

# run the fast tests; `just test tests/models` runs some of them
test *paths:
    {{bin}}/python -m pytest -n 2 {{paths}}

# run all tests, also the slow ones and those of the real model
test-all *paths:
    {{bin}}/python -m pytest -n 2 -m "" {{paths}}

# check style, types and the directions of imports
lint:
    {{bin}}/ruff check
    {{bin}}/ruff format --check
    {{bin}}/mypy
    {{bin}}/lint-imports

# regenerate the generated pages under docs/
docs:
    set -e; for script in docs/make_*.py; do [ ! -e "$script" ] || {{bin}}/python "$script"; done

# run the benchmarks that need no data, quickly; benchmarks/README.md has them all
bench *options="--quick":
    {{bin}}/python benchmarks/coordinator.py {{options}}
    {{bin}}/python benchmarks/score.py {{options}}

# regenerate the weight-free graph templates (30 to 40 s, needs torch)
template:
    {{bin}}/python dev/make_templates.py
