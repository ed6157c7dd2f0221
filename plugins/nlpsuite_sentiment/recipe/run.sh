#!/usr/bin/env bash
# Train the adapter of sentiment and evaluate it: about an hour on one core with BF16.
#
#     plugins/nlpsuite_sentiment/recipe/run.sh DATA RUN
#
# DATA holds sst2_glue/{train,dev}.tsv; RUN is the directory of the run.
set -euo pipefail
here=$(dirname "$0")
data=$1 run=$2
python "$here/make_data.py" "$data" "$run-data"
python "$here/../../../benchmarks/overlap.py" "$run-data/train.tsv" --lines --against sst2:dev
nlpsuite train adapter --task sentiment --data "$run-data/train.tsv" -o "$run" \
    --rank 16 --alpha 32 --batch-tokens 1024 --steps 1040 --lr 1e-3 --final-lr 0.02 \
    --evaluations 10 --patience 0 --heldout-data "$run-data/heldout.tsv" --heldout-examples 600 --scored-examples 600 \
    --margin 3 --license "SST-2 (no explicit license), everyday phrases Apache-2.0"
nlpsuite eval sentiment --dataset sst2:dev --adapter "$run/adapter.safetensors"
