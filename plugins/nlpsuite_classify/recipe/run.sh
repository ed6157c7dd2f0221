#!/bin/sh
# The figures of docs/classify.md: two public sets, without training, with five examples in the prompt, and after
# 100 steps of training (about five minutes on a CPU with BF16). Reports are written to OUTPUT.
#
#     plugins/nlpsuite_classify/recipe/run.sh OUTPUT [ROWS]
set -eu
recipe=$(dirname "$0")
out=$1
rows=${2:-500}
export OMP_WAIT_POLICY=passive

[ -e "$out/r8-train.csv" ] || python "$recipe/make_data.py" "$out"
for name in r8 newsgroups; do
    labels=$(cat "$out/$name-labels.txt")
    evaluate() { # NAME OF THE REPORT, FLAGS
        report=$1
        shift
        [ -e "$out/$name-$report.json" ] ||
            nlpsuite eval classify "$out/$name-test.csv" --limit "$rows" --worst 0 --json "$@" >"$out/$name-$report.tmp"
        [ -e "$out/$name-$report.json" ] || mv "$out/$name-$report.tmp" "$out/$name-$report.json"
    }
    [ -e "$out/runs/$name/result.json" ] || nlpsuite train adapter --task classify --data "$out/$name-train.csv" \
        --steps 100 --evaluations 4 --threads 1 -o "$out/runs/$name"
    evaluate majority --baseline majority --train "$out/$name-train.csv"
    evaluate zero-shot --labels "$labels"
    evaluate 5-shot --labels "$labels" --shots "$out/$name-shots.csv" --no-calibrate
    evaluate 5-shot-calibrated --labels "$labels" --shots "$out/$name-shots.csv"
    evaluate adapter --adapter "$out/runs/$name/adapter.safetensors"
done
