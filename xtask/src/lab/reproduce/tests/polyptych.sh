#!/bin/sh
# Stands in for `polyptych` in tests: results follow from the arguments, every call is logged.
set -eu
verb=$1
for word in "$@"; do
    case $word in
        */runs/*) root=${word%%/runs/*} ;;
        */toy.toml) root=${word%/toy.toml} ;;
    esac
done
echo "$*" | sed "s|$root/||g" >> "$root/log"
all=$*
shift

base() {
    case $1 in
        *lora*) echo 50 ;;
        *full*) echo 80 ;;
        *) echo 60 ;;
    esac
}

scores() { # task, value
    printf '{"task":"%s","scores":[{"name":"top1","value":%s,"unit":"%%","higher_is_better":true},' "$1" "$2"
    printf '{"name":"top1_within","value":%s.5,"unit":"%%","higher_is_better":true}]}' "$2"
}

train() {
    out= seed= tasks=both rate=0 steps=10
    while [ $# -gt 0 ]; do
        case $1 in
            --out) out=$2; shift ;;
            --resume) out=$2; seed=$(cat "$out/seed"); steps=$(cat "$out/steps"); shift ;;
            --tasks) tasks=$2; shift ;;
            --set)
                case $2 in
                    seed=*) seed=${2#seed=} ;;
                    train.lr=*) rate=${2#train.lr=0.00} ;;
                    train.steps=*) steps=${2#train.steps=} ;;
                esac
                shift
                ;;
        esac
        shift
    done
    mkdir -p "$out/checkpoints"
    echo "$seed" > "$out/seed"
    echo "$steps" > "$out/steps"
    printf '[train]\nsteps = %s\n' "$steps" > "$out/recipe.toml"
    if [ -e "$root/fail" ]; then rm "$root/fail"; exit 1; fi
    if [ -e "$root/interrupt" ]; then
        rm "$root/interrupt"
        mkdir -p "$out/checkpoints/step-00000005"
        exit 130
    fi
    mkdir -p "$out/checkpoints/step-$(printf %08d "$steps")"
    for step in 1 2 3 4 5 6 7; do
        echo "{\"step\":$step,\"wall_ms\":$(base "$out").5}" >> "$out/metrics.jsonl"
    done
    echo '{"step":7,"peak_resident_bytes":1048576}' >> "$out/metrics.jsonl"
    birds=$(($(base "$out") + seed % 1000 + rate))
    cars=$((birds + 10))
    case $tasks in
        birds) list=$(scores birds $birds) ;;
        cars) list=$(scores cars $cars) ;;
        *) list=$(scores birds $birds),$(scores cars $cars) ;;
    esac
    echo "{\"tasks\":[$list],\"delta_m\":null}" > "$out/evaluation.json"
    if [ -e "$root/staged" ] && [ "$tasks" = both ]; then
        # Birds alone, four points better than behind the last stage.
        mkdir -p "$out/stages/first"
        printf '[[stage]]\nname = "first"\n[[stage]]\nname = "second"\n' > "$out/stages/stages.toml"
        echo "{\"tasks\":[$(scores birds $((birds + 4)))],\"delta_m\":null}" \
            > "$out/stages/first/evaluation.json"
        mkdir -p "$out/pruned"
        printf '{"before":{"multiply_adds":200,"ms":{"median":12.5}},' > "$out/pruned/merge.json"
        echo '"after":{"multiply_adds":50,"ms":{"median":5.5}}}' >> "$out/pruned/merge.json"
    fi
}

case $verb in
    train) train "$@" ;;
    merge)
        case $all in *lora*) echo 'error: lora: expected a method that merges' >&2; exit 1 ;; esac
        mkdir "$3"
        echo '{}' > "$3/merge.json"
        ;;
    time)
        times='{"median":12.5,"low":12.0,"high":13.0}'
        folded=$times
        case $all in *lora*) folded=null ;; esac
        echo "{\"images\":8,\"adapted_ms\":$times,\"folded_ms\":$folded}"
        ;;
    inspect)
        trainable=$(($(base "$all") * 1000))
        echo "{\"parameters\":{\"rows\":[{\"group\":\"backbone\",\"total\":1000000,\"trainable\":$trainable,\"stored\":1},"
        echo "{\"group\":\"heads\",\"total\":2000,\"trainable\":2000,\"stored\":1}],\"unused\":[]}}"
        ;;
esac
