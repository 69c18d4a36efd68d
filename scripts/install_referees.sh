#!/usr/bin/env bash
# Install the programs that judge the written DICOM objects (an archive and its clients), and a browser for the review
# page. Tests skip what is missing.
# Does nothing where they are there, or where this is no Debian with root rights and a reachable package index.
set -uo pipefail
PROGRAMS=(Orthanc storescu dcmj2pnm dcm2niix gdcmconv chromium)
PACKAGES=(orthanc dcmtk dcm2niix libgdcm-tools chromium)
PATH="$PATH:/usr/sbin"

missing=0
for program in "${PROGRAMS[@]}"; do command -v "$program" >/dev/null || missing=1; done
[ "$missing" -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
  echo "referees: no Debian or no root rights; tests that need ${PACKAGES[*]} are skipped"
  exit 0
fi

# keep the packages from starting services of their own
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
if timeout 120 apt-get update -qq && timeout 300 apt-get install -qq -y --no-install-recommends "${PACKAGES[@]}" >/dev/null; then
  echo "referees: installed ${PACKAGES[*]}"
else
  echo "referees: could not be installed; tests that need them are skipped"
fi
exit 0
