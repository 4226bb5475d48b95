// kstatus: what Flux makes of objects. Reads a JSON list of objects, writes one of {status, message}.
package main

import (
	"encoding/json"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	var raws []json.RawMessage
	check(json.NewDecoder(os.Stdin).Decode(&raws))
	healths := []health{}
	for _, raw := range raws {
		object := &unstructured.Unstructured{}
		check(object.UnmarshalJSON(raw))
		result, err := status.Compute(object)
		check(err)
		healths = append(healths, health{result.Status.String(), result.Message})
	}
	check(json.NewEncoder(os.Stdout).Encode(healths))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
