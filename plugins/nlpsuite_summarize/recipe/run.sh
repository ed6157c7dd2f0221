#!/usr/bin/env bash
# Train an adapter of summarize and evaluate it.
#
#     plugins/nlpsuite_summarize/recipe/run.sh DATA RUN
#
# DATA holds scitldr_a/{train,dev}.jsonl; RUN is the directory of the run.
set -euo pipefail
here=$(dirname "$0")
data=$1 run=$2
python "$here/make_data.py" "$data" "$run-data"
python "$here/../../../benchmarks/overlap.py" "$run-data/train.jsonl" --against scitldr:dev
nlpsuite train adapter --task summarize --data "$run-data/train.jsonl" --option-column length=length -o "$run" \
    --rank 32 --alpha 64 --steps 600 --lr 1e-3 --final-lr 0.05 --evaluations 6 --patience 0 --heldout-examples 120 \
    --license "SciTLDR Apache-2.0; texts of this project Apache-2.0"
nlpsuite eval summarize --dataset scitldr:dev --adapter "$run/adapter.safetensors"
