#!/usr/bin/env bash
# Train the adapter of translate and evaluate it: 25 million tokens, a few minutes on an H100 and a day on one core.
#
#     plugins/nlpsuite_translate/recipe/run.sh DATA RUN
#
# DATA holds tatoeba_en_de/deu-eng.zip, tatoeba_en_fr/fra-eng.zip, tatoeba_en_es/spa-eng.zip and multi30k/; RUN is the
# directory of the run.
set -euo pipefail
here=$(dirname "$0")
data=$1 run=$2
python "$here/make_data.py" "$data" "$run-data"
python "$here/../../../benchmarks/overlap.py" "$run-data/train.tsv" --lines \
    --against multi30k:test2016:en-de --against multi30k:test2016:en-fr
nlpsuite train adapter --task translate --data "$run-data/train.tsv" --option-column to=to,from=from -o "$run" \
    --rank 64 --alpha 64 --storage int8 --batch-tokens 16384 --steps 1594 --lr 2e-3 --final-lr 0.02 \
    --label-smoothing 0.1 --dropout 0.05 --ema 0.998 --evaluations 6 --patience 0 --heldout-examples 400 \
    --from auto --pairs en-de,de-en,en-fr,fr-en,en-es,es-en \
    --license "Tatoeba CC BY 2.0 (manythings.org/anki, tatoeba.org); Multi30k, research use"
for pair in en-de en-fr de-en fr-en; do
    nlpsuite eval translate --dataset "multi30k:test2016:$pair" --adapter "$run/adapter.safetensors"
done
