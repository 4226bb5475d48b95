#!/usr/bin/env bash
# Alertmanager 0.35.0: its Go module can't be built, because the pages that it embeds are not in it.
#
# `go install github.com/prometheus/alertmanager/cmd/alertmanager@v0.35.0` is the usual way to get a Go program of a fixed version.
# ui/web.go has `//go:embed app/dist`, and app/dist is made by npm before a release: it is neither in the tag nor in the module. Its tool
# amtool does not import that package and builds. An overlay (`go build -overlay`) can't add the files, because Go refuses to replace
# what is below its module cache; a copy of the module with an empty page in app/dist/elm and app/dist/mantine builds and runs.
#
# Seen with Alertmanager v0.35.0 and Go 1.26. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
go version
go mod init example.org/build 2> /dev/null
go get github.com/prometheus/alertmanager@v0.35.0 2> /dev/null
if said=$(go list github.com/prometheus/alertmanager/ui 2>&1); then
    echo "this has changed: its pages are there"
    exit 1
fi
echo "$said"
grep -q "pattern app/dist: no matching files found" <<< "$said"
echo "as described: the module lacks what it embeds"
