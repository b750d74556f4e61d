#!/usr/bin/env bash
# Creates a virtual environment from a list of pinned packages; called by the Makefile.
#
#     tools/dev/environment.sh VENV PINS light    # mmcv without compiled ops, for classification
#     tools/dev/environment.sh VENV PINS ops      # mmcv with compiled ops: 10 to 15 minutes, once
#     tools/dev/environment.sh VENV PINS docs     # as ops, with requirements/docs.txt
#     tools/dev/environment.sh VENV PINS wheel    # as ops, with the checkout built as a wheel
#
# uv installs hard links to its cache, so a second environment takes seconds. mmcv is compiled once
# per version of torch and Python, into the folder mmdynamicvis of the user's cache. A run that was
# interrupted continues when repeated.
# Variables: PYTHON (interpreter of the environment), MAX_JOBS (compiler processes),
# MMDYNAMICVIS_CUDA_OPS=1 (also compile mmcv's ops for CUDA; needs nvcc of torch's CUDA version).
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=$1 pins=$2 stage=$3
uv_version=0.13.9
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mmdynamicvis
export UV_PYTHON_DOWNLOADS=never PATH=$cache/uv-$uv_version/bin:$PATH
unset PYTHONPATH PYTHONHOME

say() { echo "[environment] $*" >&2; }
fail() { say "$*"; exit 1; }
pinned() { grep -v '^#' "$pins" | grep "$@"; }
install() { uv pip install --python "$venv/bin/python" --no-deps --no-build-isolation "$@"; }
ask() { "$venv/bin/python" -c "$1"; }

mkdir -p "$cache" || fail "cannot write to $cache: name another folder with XDG_CACHE_HOME"
exec 9> "$cache/lock"
flock --nonblock 9 || { say 'another process is setting up; waiting for it'; flock 9; }

if ! uv --version 2> /dev/null | grep -qF " $uv_version"; then
    say "installing uv $uv_version"
    "${PYTHON:-python3}" -m venv "$cache/uv-$uv_version" ||
        fail 'no virtual environment: apt-get install python3-venv'
    "$cache/uv-$uv_version/bin/python" -m pip install --quiet "uv==$uv_version"
fi

if ! cmp --silent "$pins" "$venv/pins.txt"; then
    say "new environment $venv"
    uv venv --quiet --clear --python "${PYTHON:->=3.10,<3.14}" "$venv" ||
        fail 'Python 3.10 to 3.13 is needed: apt-get install python3, or name one with PYTHON'
    say 'packages, about 3 GB to fetch the first time'
    # needed to build packages that are distributed as source
    install --quiet --requirements <(pinned -E '^(setuptools|wheel)==')
    install --requirements <(pinned -vE '^(onedl-|open)?m(m|im)')
    cp "$pins" "$venv/pins.txt"
fi

mmcv=$(pinned -E '^(onedl-)?mmcv==')
torch=$(ask 'from importlib.metadata import version as v; print(v("torch"))')
wheels=$cache/wheels/torch-${torch%%+*}${MMDYNAMICVIS_CUDA_OPS:+-cuda}
wheel() {
    local name=${mmcv%==*} tag
    tag=$(ask 'import sys; print("cp%d%d" % sys.version_info[:2])')
    find "$wheels" -name "${name//-/_}-${mmcv#*==}-$tag-*.whl" 2> /dev/null | head -n 1
}
compile() {
    command -v g++ > /dev/null || fail 'mmcv is compiled by g++: apt-get install g++'
    ask 'import os, sysconfig as s; open(os.path.join(s.get_path("include"), "Python.h"))' \
        2> /dev/null || fail 'mmcv is compiled with Python.h: apt-get install python3-dev'
    local memory_gb jobs log=$wheels/compile.log built
    memory_gb=$(awk '/^MemTotal/ {print int($2 / 1048576)}' /proc/meminfo)
    jobs=$((memory_gb / 2 < $(nproc) ? memory_gb / 2 : $(nproc)))
    mkdir -p "$wheels"
    built=$(mktemp --directory "$wheels/build.XXXX")
    trap "rm -rf '$built'" EXIT
    say "compiling mmcv, once for torch $torch: 10 to 15 minutes on two cores; log: $log"
    # without a visible GPU mmcv does not need nvcc; Python's default flag -g triples the size
    [ -n "${MMDYNAMICVIS_CUDA_OPS:-}" ] && export FORCE_CUDA=1 || export CUDA_VISIBLE_DEVICES=''
    PATH=$venv/bin:$PATH TMPDIR=$built CFLAGS="${CFLAGS:--O2 -g0}" MMCV_WITH_OPS=1 \
        MAX_JOBS=${MAX_JOBS:-$((jobs > 0 ? jobs : 1))} "$venv/bin/python" -m pip wheel --verbose \
        --no-cache-dir --no-deps --no-build-isolation --wheel-dir "$built/wheel" "$mmcv" 2>&1 |
        tee "$log" | sed -un 's/^ *\[\([0-9]*\)\/\([0-9]*\)\].*/[environment] \1 of \2 files/p' >&2 ||
        { tail -n 25 "$log" >&2; fail 'mmcv was not compiled; out of memory? MAX_JOBS=1'; }
    mv "$built"/wheel/*.whl "$wheels"
}
[ "$stage" = light ] || [ -n "$(wheel)" ] || compile
if [ -n "$(wheel)" ]; then
    install --quiet "$(wheel)"
else
    # built in isolation, where torch is not available, mmcv has no ops
    uv pip install --quiet --python "$venv/bin/python" --no-deps "$mmcv"
fi
say 'the OpenMMLab packages and this checkout'
install --quiet --requirements <(pinned -E '^(onedl-|open)?m(m|im)' | grep -v mmcv)
if [ "$stage" = wheel ]; then
    uv build --quiet --wheel --no-build-isolation --python "$venv/bin/python" --out-dir "$venv/dist" .
    install --quiet --reinstall "$venv"/dist/*.whl
else
    install --quiet --editable .
fi
if [ "$stage" = docs ]; then
    ask 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail 'the documentation needs Python 3.11 or newer: name one with PYTHON'
    say 'the packages of the documentation'
    install --quiet --requirements requirements/docs.txt
fi
touch "$venv/light" "$venv/$stage" $([ -z "$(wheel)" ] || echo "$venv/ops")
