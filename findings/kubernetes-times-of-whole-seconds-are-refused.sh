#!/usr/bin/env bash
# kubernetes 37.0.2 (Python): a MicroTime that falls on a whole second is written in a form that Kubernetes refuses.
#
# The times of a Lease (renewTime, acquireTime) and of an Event (eventTime) are of the type MicroTime. One would guess that a datetime is fine for each,
# as it is for all other times. The client writes isoformat(), which leaves the fraction out when it is zero, and Kubernetes' own parser of
# MicroTime wants six digits: "cannot parse "+00:00" as ".000000"". So a Lease renewed with datetime.now(UTC) fails once in a million times,
# and one with .replace(microsecond=0), or with a time that was read with whole seconds, each time. Time, the type of creationTimestamp, takes
# both forms. What helps: text with six digits, isoformat(timespec="microseconds"), in place of the datetime.
#
# Seen with kubernetes 37.0.2 (PyPI), and the parser of the API server, k8s.io/apimachinery v0.37.1, built with Go 1.26. Fails when that changes.
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check kubernetes==37.0.2
cat > "$home/go.mod" << 'MODULE'
module look

go 1.26

require k8s.io/apimachinery v0.37.1
MODULE
cat > "$home/main.go" << 'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func answer(err error) string {
	if err != nil {
		return "refused: " + err.Error()
	}
	return "taken"
}

func main() {
	for _, text := range os.Args[1:] {
		quoted, _ := json.Marshal(text)
		var micro metav1.MicroTime
		var whole metav1.Time
		fmt.Printf("%s\n    MicroTime %s\n    Time %s\n", text, answer(json.Unmarshal(quoted, &micro)), answer(json.Unmarshal(quoted, &whole)))
	}
}
GO
(cd "$home" && GOFLAGS=-mod=mod go build -o look . 2> "$home/log") || { cat "$home/log"; exit 1; }
"$home/venv/bin/python" - "$home/look" << 'PYTHON'
import subprocess
import sys
from datetime import UTC, datetime

from kubernetes import client


def written(microsecond):
    """What the client sends as the renewal of a Lease."""
    spec = client.V1LeaseSpec(renew_time=datetime(2026, 1, 1, 12, 0, 0, microsecond, UTC))
    return client.ApiClient().sanitize_for_serialization(client.V1Lease(spec=spec))["spec"]["renewTime"]


texts = [written(1), written(0), datetime(2026, 1, 1, 12, tzinfo=UTC).isoformat(timespec="microseconds")]
answers = subprocess.run([sys.argv[1], *texts], check=True, capture_output=True, text=True).stdout
print(answers, end="")
micro = [line.split()[1].rstrip(":") for line in answers.splitlines() if "MicroTime" in line]
assert micro == ["taken", "refused", "taken"], "this has changed"
assert answers.count("    Time taken") == len(texts), "Time refuses one of them now"
PYTHON
