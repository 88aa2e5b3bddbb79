#!/usr/bin/env bash
# Runs all that only a GPU can show, the most useful first. Each stage has its own limit of time and
# its own log, so that a cut loses only what had not begun; a stage that is done is not run again.
#
#   PYTHON=python3 ./run.sh [cuda:0|cpu] [FOLDER OF THE RESULTS]
#
# `cpu` is the rehearsal: the same stages at small sizes, with twice the time; the counting device
# stands for the GPU.
# LIBRARIES names the folder of LibTorch's libraries where there is no Python, ONLY the stages to run
# and CASES the cases of parity, all by default.
set -u
here=$(cd "$(dirname "$0")" && pwd)
device=${1:-cuda:0}
out=${2:-results}
python=${PYTHON:-python3}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$out" || exit 1

# Programs of a bundle for release are compressed. The mode travels with them.
for packed in "$here"/bin/*.xz; do
    program=${packed%.xz}
    [ -e "$packed" ] && [ ! -e "$program" ] || continue
    xz -dk "$packed" 2>/dev/null ||
        "$python" -c 'import lzma, shutil, sys
with lzma.open(sys.argv[1]) as packed, open(sys.argv[2], "wb") as program:
    shutil.copyfileobj(packed, program)' "$packed" "$program" || exit 1
    chmod +x "$program"
done

lib=${LIBRARIES:-}
if [ -z "$lib" ]; then
    lib=$("$python" -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))') || {
        echo "$python: expected torch, found none; name another Python by PYTHON" >&2
        exit 1
    }
fi
export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export POLYPTYCH_TEST_DEVICE=$device
# Where xtask looks for the peers' scripts.
export CARGO_MANIFEST_DIR="$here/xtask"

if [ "$device" = cpu ]; then
    export POLYPTYCH_TEST_DEVICE=counting
    steps="--rounds 1 --batch 1" growth="--rounds 1 --batch 1 --tasks 1,2" forward="--rounds 1 --batch 1"
    precision=fp32 compiled=fp32 compiled_steps=$steps patience=2
    few="--set train.steps=4 --set train.eval_every=4 --set train.schedule.warmup_steps=1"
    few="$few --set data.eval.0.len=2"
else
    steps="--rounds 20 --batch 32,128" growth="--rounds 20 --batch 32 --tasks 1,2,4,8,16"
    forward="--rounds 20 --batch 1,8,64" precision=fp32,bf16 few="" patience=1
    # Each program of torch.compile compiles for half a minute.
    compiled=bf16 compiled_steps="--rounds 20 --batch 32"
fi

# stage NAME SECONDS COMMAND..: the log is NAME.log; a line of stages.tsv says how it ended.
stage() {
    local name=$1 limit=$(($2 * patience)) start rc
    shift 2
    case " ${ONLY:-$name} " in *" $name "*) ;; *) return ;; esac
    if grep -q "^$name"$'\t'"0"$'\t' stages.tsv 2>/dev/null; then return; fi
    start=$(date +%s)
    timeout --kill-after=10 "$limit" "$@" >"$name.log" 2>&1
    rc=$?
    printf '%s\t%s\t%s\n' "$name" "$rc" "$(($(date +%s) - start))" >>stages.tsv
    tail -n 1 stages.tsv
}

bench() {
    # The words of a setting are several arguments.
    # shellcheck disable=SC2086
    "$here/bin/xtask" bench "$@" --device "$device" --worker "$here/bin/worker" \
        --python "$python" --out "$out"
}

doctor() {
    command -v nvidia-smi >/dev/null && nvidia-smi
    [ -n "${LIBRARIES:-}" ] ||
        "$python" -c 'import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available())'
    "$here/bin/polyptych" --version
    "$here/bin/devices" the_device_is_there --exact --nocapture
}

train() {
    # shellcheck disable=SC2086
    "$here/bin/polyptych" train quickstart --plain --out "train-$$" --set "device=\"$device\"" $few
}

export -f bench doctor train
export here device out python few
stage doctor 60 bash -c doctor
# shellcheck disable=SC2086
stage parity 150 "$here/bin/devices" --nocapture --test-threads 1 ${CASES:-}
stage mtlora 80 bash -c "bench mtlora --peers --without compile --precision $precision $steps"
stage vit 80 bash -c "bench vit --peers --without onnxruntime,OpenVINO --precision $compiled $forward"
# Its graph takes torch.compile longest.
stage swin 110 bash -c "bench swin --peers --without onnxruntime,OpenVINO --precision $compiled $forward"
stage train 60 bash -c train
stage emtal 60 bash -c "bench emtal --peers --without compile --precision $precision $steps"
stage lora 60 bash -c "bench lora full --peers --without compile --precision $precision $steps"
stage growth 75 bash -c "bench mtlora vmt emtal --precision $precision $growth"
stage large 45 bash -c "bench mtlora vmt --precision $precision $steps --size 448"
# A training step beside torch.compile, which compiles it for half a minute or more.
stage compiled 60 bash -c "bench lora --peers --precision $compiled $compiled_steps"

awk -F '\t' '$2 != 0 { failed = failed " " $1 } END { if (failed) { print "failed:" failed; exit 1 } }' stages.tsv
