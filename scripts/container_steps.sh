#!/usr/bin/env bash
# The steps of Containerfile where no builder is: install into an empty environment without index, then run the clinic as
# a user without rights, on a read-only file system, without network; only the folder of the results can be written.
# Needs Linux, root, unshare (util-linux) and a Python that others may read (PYTHON, default /usr/bin/python3).
# Usage: scripts/container_steps.sh [FOLDER WITH WHEELS]
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d /var/tmp/mureg-container-XXXXXX)
trap 'rm -rf "$place"' EXIT
chmod 755 "$place"

# build
"${PYTHON:-/usr/bin/python3}" -m venv --without-pip "$place/mureg"
pip=(python3 -m pip --python "$place/mureg/bin/python" --quiet install)
if [ $# -gt 0 ]; then
  "${pip[@]}" --no-index --find-links "$1" mureg
else
  "${pip[@]}" --constraint "$here/constraints/ci.txt" "$here"
fi
"$place/mureg/bin/python" -m compileall -q "$place/mureg/lib" || true
"$place/mureg/bin/python" - <<'PYTHON'
import importlib.util
assert all(importlib.util.find_spec(name) is None for name in ("torch", "safetensors", "onnx")), "packages of research"
PYTHON

# run
mkdir "$place/results" && chown 10001 "$place/results"
sample=$("$place/mureg/bin/python" -c 'from mureg.sample import sample_folder; print(sample_folder())')
cat >"$place/run.sh" <<'RUN'
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount --bind "$PLACE/results" "$PLACE/results"
mount -o remount,bind,ro /
cd "$PLACE/results"
run() { setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs -- env -i PATH="$PLACE/mureg/bin:/usr/bin:/bin" \
  PYTHONDONTWRITEBYTECODE=1 MPLBACKEND=Agg MPLCONFIGDIR=/tmp/matplotlib HOME=/tmp "$@"; }
if run touch "$PLACE/mureg/written" 2>/dev/null; then echo "the file system can be written"; exit 1; fi
run mureg doctor
run mureg register --spect "$SAMPLE/spect.dcm" --ct "$SAMPLE/ct" -o "$PLACE/results/one"
run mureg register --fast --spect "$SAMPLE/spect.dcm" --ct "$SAMPLE/ct" -o "$PLACE/results/fast"
RUN
PLACE=$place SAMPLE=$sample unshare --mount --net --ipc --uts bash "$place/run.sh"
ls "$place/results/one"
