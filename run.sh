#!/usr/bin/env bash
# Sets up an environment once and does the main job: features, all heads, the report.
set -euo pipefail
unset CDPATH

usage() {
  cat <<'TEXT'
Usage: ./run.sh [DATA]      extract the features of DATA, train every head, write the report
       ./run.sh test [...]  run the tests; what follows goes to pytest
       ./run.sh --help

DATA is an AVA folder (AVA.txt, images/) or any folder with labels.csv. Its features are those of
all layers (extract --layers multi): the same pass, 2.2 times the disk, better distributions.
Without DATA a demo set is made: 1,500 crops of photographs that installed packages ship, with
simulated votes, and features of the last layer.

The first run installs into .venv/: about 900 MB to download, 3 GB on disk, a few minutes.
After that the demo takes less than five minutes on two cores, and a second run, which finds
everything done, seconds. Ctrl-C is safe: the same command goes on from there.

Results: demo/runs/report.html, or runs/<name of DATA>/report.html.

Environment variables:
  PYTHON  the Python to use (3.11 to 3.13; default: the first such of python3, python3.13, ...)
  VENV    an environment that is ready: used as it is, and nothing is installed
  OUT     the folder that gets demo/, features/ and runs/ (default: here)
TEXT
}

say() { printf '%s\n' "run.sh: $*" >&2; }
die() { say "$*"; exit 1; }

fits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
  local name
  if [ -n "${PYTHON:-}" ]; then
    fits "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13. Name one that is."
    printf '%s\n' "$PYTHON"
    return
  fi
  for name in python3 python3.13 python3.12 python3.11; do
    if fits "$name"; then
      printf '%s\n' "$name"
      return
    fi
  done
  die "No Python 3.11, 3.12 or 3.13 was found. Install one, or name it: PYTHON=/path/to/python ./run.sh"
}

same_version() {
  [ "$("$1" --version 2>&1)" = "$("$2" --version 2>&1)" ]
}

# Makes .venv where there is none that works (a half-made one is made again), and names its Python.
ensure_environment() {
  local base
  if [ -n "${VENV:-}" ]; then
    python=$VENV/bin/python
    [ -x "$python" ] || die "VENV=$VENV holds no bin/python. Name an environment that is ready."
    return
  fi
  python=$here/.venv/bin/python
  if fits "$python" && "$python" -m pip --version >/dev/null 2>&1 &&
    { [ -z "${PYTHON:-}" ] || same_version "$PYTHON" "$python"; }; then
    return
  fi
  base=$(find_python)
  say "making .venv with $("$base" --version)"
  "$base" -m venv --clear .venv ||
    die "$base cannot make an environment. On Debian or Ubuntu: apt install python3-venv."
}

# Some programs fail without a home folder: this one can be thrown away, so pip caches nothing.
ensure_home() {
  if [ -z "${HOME:-}" ]; then
    export HOME=${python%/bin/python}/home PIP_NO_CACHE_DIR=1
    mkdir -p "$HOME"
  fi
}

# Installs the extras $1, unless .venv/.installed-* says that the very same was installed.
install() {
  local extras=$1 stamp wanted
  if [ -n "${VENV:-}" ]; then
    return
  fi
  wanted=$({ cat pyproject.toml; "$python" --version; printf '%s\n' "$here"; } | sha256sum)
  for stamp in ".venv/.installed-$extras" .venv/.installed-*,dev; do
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
      return
    fi
  done
  say "installing the project with its extras $extras into .venv"
  "$python" -m pip install --disable-pip-version-check -e ".[$extras]" ||
    die "The installation failed; pip says why above. The same command tries again."
  printf '%s\n' "$wanted" >".venv/.installed-$extras"
}

set_up() {
  cd "$here"
  ensure_environment
  ensure_home
  install "$1"
  export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-3}
}

# One name, one data folder: the features of another one are never mixed in.
claim() {
  local record=$1/data-folder.txt data=$2
  mkdir -p "$1"
  if [ -f "$record" ] && [ "$(cat "$record")" != "$data" ]; then
    die "$1 belongs to $(cat "$record"), not to $data. Set OUT=another/folder, or remove $1."
  fi
  printf '%s\n' "$data" >"$record"
}

# Extracts and trains what is not done yet: $1 is the data, $2 gets features, $3 gets runs; what
# follows goes to extract.
pipeline() {
  "$python" -m extract --split all --data "$1" --out "$2" "${@:4}"
  "$python" -m heads compare --features "$2" --out "$3"
  say "done. Report: $3/report.html; table: $3/leaderboard.csv; features: $2"
}

run_demo() {
  set_up offline,cpu,demo,heif
  "$python" -m extract.demo "$out/demo/photos"
  pipeline "$out/demo/photos" "$out/demo/features" "$out/demo/runs"
}

run_data() {
  local data name
  [ -d "$1" ] || die "There is no folder $1. Name one with AVA.txt or labels.csv in it."
  data=$(cd "$1" && pwd)
  [ -f "$data/AVA.txt" ] || [ -f "$data/labels.csv" ] ||
    die "$data has neither AVA.txt nor labels.csv. See docs/ava.md and docs/own-photographs.md."
  name=$(basename "$data")
  set_up offline,cpu,demo,heif
  claim "$out/features/$name" "$data"
  pipeline "$data" "$out/features/$name" "$out/runs/$name" --layers multi
}

run_tests() {
  set_up offline,cpu,demo,dev
  # Files of tests side by side, one a core. One whose process dies ends the run, and is named.
  "$python" -m pytest -n auto --dist loadfile --max-worker-restart 0 "$@"
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${OUT:-$here}
python=''
# Folders are named from where the caller stands, before set_up goes to the checkout.
if [ "${out#/}" = "$out" ]; then out=$PWD/$out; fi
if [ -n "${VENV:-}" ] && [ "${VENV#/}" = "$VENV" ]; then VENV=$PWD/$VENV; fi

case ${1:-} in
  -h | --help) usage ;;
  test) shift; run_tests "$@" ;;
  -*) usage >&2; exit 2 ;;
  *)
    if [ $# -gt 1 ]; then usage >&2; exit 2; fi
    if [ $# -eq 1 ]; then run_data "$1"; else run_demo; fi
    ;;
esac
