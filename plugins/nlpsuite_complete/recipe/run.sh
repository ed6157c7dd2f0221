#!/usr/bin/env bash
# Train the adapter of complete and evaluate it: about two hours on one core without BF16.
#
#     plugins/nlpsuite_complete/recipe/run.sh DATA RUN
#
# DATA holds humaneval/HumanEval.jsonl.gz and humaneval_infilling/HumanEval-SingleLineInfilling.jsonl.gz, of which nothing
# is learned; RUN is the directory of the run.
set -euo pipefail
here=$(dirname "$0")
data=$1 run=$2
humaneval=$data/humaneval/HumanEval.jsonl.gz
infilling=$data/humaneval_infilling/HumanEval-SingleLineInfilling.jsonl.gz
pip download --quiet --no-deps --only-binary :all: -r "$here/packages.txt" -d "$run-wheels"
python "$here/make_data.py" "$run-wheels" "$run-data" --without "$humaneval" --without "$infilling" --tokens 2500000
python "$here/../../../benchmarks/overlap.py" "$run-data/train.jsonl" --join text,completion,suffix \
    --against "$humaneval" --against "$infilling"
nlpsuite train adapter --task complete --data "$run-data/train.jsonl" --option-column suffix=suffix -o "$run" \
    --rank 32 --alpha 32 --storage int8 --batch-tokens 1024 --max-length 512 --minutes 115 --lr 1.5e-3 \
    --evaluations 5 --patience 0 --heldout-examples 150 --scored-examples 100 \
    --license "PSF-2.0 and MIT, BSD, Apache-2.0 packages (manifest.json)"
nlpsuite eval complete --dataset humaneval --adapter "$run/adapter.safetensors" --execute
nlpsuite eval complete --dataset humaneval-infilling:single-line --adapter "$run/adapter.safetensors"
