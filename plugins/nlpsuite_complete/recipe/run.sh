#!/usr/bin/env bash
# Train the adapter of complete and evaluate it: 25 million tokens, a few minutes on an H100. On a CPU give it a tenth:
# TOKENS=2500000.
#
#     plugins/nlpsuite_complete/recipe/run.sh DATA RUN
#
# DATA holds humaneval/HumanEval.jsonl.gz and humaneval_infilling/HumanEval-SingleLineInfilling.jsonl.gz, of which nothing
# is learned; RUN is the directory of the run.
set -euo pipefail
here=$(dirname "$0")
data=$1 run=$2 tokens=${TOKENS:-25000000}
humaneval=$data/humaneval/HumanEval.jsonl.gz
infilling=$data/humaneval_infilling/HumanEval-SingleLineInfilling.jsonl.gz
pip download --quiet --no-deps --only-binary :all: -r "$here/packages.txt" -d "$run-wheels"
python "$here/make_data.py" "$run-wheels" "$run-data" --without "$humaneval" --without "$infilling" --tokens "$tokens"
python "$here/../../../benchmarks/overlap.py" "$run-data/train.jsonl" --join text,completion,suffix \
    --against "$humaneval" --against "$infilling"
nlpsuite train adapter --task complete --data "$run-data/train.jsonl" --option-column suffix=suffix -o "$run" \
    --rank 64 --alpha 64 --storage int8 --batch-tokens 16384 --max-length 640 --steps $((tokens / 15700)) --lr 1.5e-3 \
    --final-lr 0.02 --ema 0.998 --evaluations 6 --patience 0 --heldout-examples 300 --scored-examples 40 \
    --license "PSF-2.0 and MIT, BSD, Apache-2.0 packages (manifest.json)"
nlpsuite eval complete --dataset humaneval --adapter "$run/adapter.safetensors" --execute
nlpsuite eval complete --dataset humaneval-infilling:single-line --adapter "$run/adapter.safetensors"
