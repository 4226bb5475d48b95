#!/usr/bin/env bash
# MkDocs 1.6.1: `mkdocs build --strict --quiet` never fails at a broken link.
#
# --strict makes the build fail if there was a warning. It counts them by a handler of the logger "mkdocs", and --quiet sets that logger's own
# level to ERROR, so no warning reaches the counter: the same site with the same broken link exits 1 without --quiet, and 0 with it.
# Who quietens a build in CI has switched the check off.
#
# Seen with mkdocs 1.6.1 on Python 3.11. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check mkdocs==1.6.1
mkdir "$home/docs"
echo '[a page](not-there.md)' > "$home/docs/index.md"
echo 'site_name: a site' > "$home/mkdocs.yml"
build() { "$home/venv/bin/mkdocs" build --strict "$@" --config-file "$home/mkdocs.yml" --site-dir "$home/site" 2>&1; }
code=0
build || code=$?
[ "$code" = 1 ] || { echo "without --quiet: exit $code, 1 was expected"; exit 1; }
code=0
build --quiet || code=$?
[ "$code" = 0 ] || { echo "with --quiet: exit $code: this has changed"; exit 1; }
echo "as described: exit 1 without --quiet, 0 with it"
