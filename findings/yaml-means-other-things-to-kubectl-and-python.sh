#!/usr/bin/env bash
# PyYAML 6.0.4 and kubectl's reader, sigs.k8s.io/yaml v1.6.0, both of YAML 1.1: one manifest, other values.
#
# Tools in Python check, render and compare the manifests that kubectl applies, and both readers are of YAML 1.1, which is known for its yes and no. So
# one would guess that the two read a plain value alike. y and n are true and false to kubectl and text to PyYAML; 12:30:45 is text to kubectl
# and 45045 to PyYAML; 1e3 and 0o17 are numbers to kubectl and text to PyYAML; 2026-01-01 is text to kubectl and a date to PyYAML.
# yes, on, ~, 017 and 1_000 are the same to both. Quotes are what helps, in both directions.
#
# Seen with PyYAML 6.0.4, and sigs.k8s.io/yaml v1.6.0, which kubectl 1.36 and 1.37 are built with, by Go 1.26. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check PyYAML==6.0.4
cat > "$home/go.mod" << 'MODULE'
module look

go 1.26

require sigs.k8s.io/yaml v1.6.0
MODULE
cat > "$home/main.go" << 'GO'
package main

import (
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	document, err := yaml.YAMLToJSON(text)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(document))
}
GO
(cd "$home" && GOFLAGS=-mod=mod go build -o look . 2> "$home/log") || { cat "$home/log"; exit 1; }
"$home/venv/bin/python" - "$home/look" << 'PYTHON'
import datetime
import json
import subprocess
import sys

import yaml

# What is written, what kubectl reads, what PyYAML reads.
VALUES = [
    ("y", True, "y"),
    ("n", False, "n"),
    ("12:30:45", "12:30:45", 45045),
    ("1e3", 1000, "1e3"),
    ("0o17", 15, "0o17"),
    ("2026-01-01", "2026-01-01", datetime.date(2026, 1, 1)),
    ("yes", True, True),
    ("on", True, True),
    ("~", None, None),
    ("017", 15, 15),
    ("1_000", 1000, 1000),
]
text = "".join(f"- {written}\n" for written, _, _ in VALUES)
kubectl = json.loads(subprocess.run([sys.argv[1]], input=text, check=True, capture_output=True, text=True).stdout)
python = yaml.safe_load(text)
for (written, *expected), *read in zip(VALUES, kubectl, python, strict=True):
    print(f"{written:11} kubectl {read[0]!r:13} PyYAML {read[1]!r}")
    assert [(value, type(value)) for value in read] == [(value, type(value)) for value in expected], "this has changed"
PYTHON
