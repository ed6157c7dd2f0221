#!/usr/bin/env bash
# Train the adapter of translate and evaluate it: about two hours on one core with BF16.
#
#     plugins/nlpsuite_translate/recipe/run.sh DATA RUN
#
# DATA holds tatoeba_en_de/deu-eng.zip, tatoeba_en_fr/fra-eng.zip and multi30k/; RUN is the directory of the run.
set -euo pipefail
here=$(dirname "$0")
data=$1 run=$2
python "$here/make_data.py" "$data" "$run-data"
python "$here/../../../benchmarks/overlap.py" "$run-data/train.tsv" --lines \
    --against multi30k:test2016:en-de --against multi30k:test2016:en-fr
nlpsuite train adapter --task translate --data "$run-data/train.tsv" --option-column to=to,from=from -o "$run" \
    --rank 64 --alpha 64 --storage int8 --batch-tokens 1024 --steps 2000 --lr 2e-3 \
    --evaluations 8 --patience 0 --heldout-examples 300 --from auto --pairs en-de,de-en,en-fr,fr-en \
    --license "Tatoeba CC BY 2.0 (manythings.org/anki, tatoeba.org); Multi30k, research use"
for pair in en-de en-fr de-en fr-en; do
    nlpsuite eval translate --dataset "multi30k:test2016:$pair" --adapter "$run/adapter.safetensors"
done
