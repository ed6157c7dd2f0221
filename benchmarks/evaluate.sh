#!/usr/bin/env bash
# Evaluate the default model on the standard data sets, beside trivial baselines.
#
#     NLPSUITE_DATA=path/to/data benchmarks/evaluate.sh [--quick] [DIRECTORY]
#
# Reports go to DIRECTORY, by default benchmarks/results/DATE, which git ignores. They hold no texts of the data
# sets. It takes about half an hour on two cores; --quick evaluates 20 rows of each. HumanEval runs programs that the
# model wrote: see docs/evaluation.md.
set -euo pipefail
limit=()
case ${1:-} in
-h | --help)
    sed -n 's/^# \{0,1\}//p' "$0" | sed 1d
    exit
    ;;
--quick)
    limit=(--limit 20)
    shift
    ;;
esac
out=${1:-"$(dirname "$0")/results/$(date +%F)"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

evaluate() { # NAME TASK ARGUMENTS…
    local name=$1 task=$2
    shift 2
    printf '\n== %s\n' "$name"
    nlpsuite eval "$task" "$@" "${limit[@]}" -o "$work/$name.jsonl" --worst 0 --html "$out/$name.html" \
        --markdown "$out/$name.md" --json >"$out/$name.json" || [ $? -eq 3 ]
}

evaluate sst2 sentiment --dataset sst2:dev
evaluate sst2-majority sentiment --dataset sst2:dev --baseline majority
for pair in en-de en-fr de-en fr-en; do
    evaluate "multi30k-$pair" translate --dataset "multi30k:test2016:$pair"
done
evaluate multi30k-en-de-beams translate --dataset multi30k:test2016:en-de --beams 4
evaluate multi30k-en-de-copy translate --dataset multi30k:test2016:en-de --baseline copy
evaluate scitldr summarize --dataset scitldr:dev --length short
evaluate scitldr-lead-1 summarize --dataset scitldr:dev --baseline lead-1
evaluate scitldr-lead-3 summarize --dataset scitldr:dev --baseline lead-3
evaluate humaneval complete --dataset humaneval --execute
evaluate humaneval-infilling complete --dataset humaneval-infilling:single-line --execute
evaluate humaneval-python complete --dataset humaneval --execute --adapter python
evaluate humaneval-infilling-python complete --dataset humaneval-infilling:single-line --execute --adapter python
nlpsuite eval lm --dataset wikitext2:valid ${limit[0]:+--limit 2} --json >"$out/wikitext2.json"
printf '\nReports are in %s.\n' "$out"
