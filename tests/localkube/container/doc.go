// Package container is what runs between the node and a container's own process: the shim, which outlives the
// kubelet, and the init step, which builds the container's view of the file system and becomes its command.
//
// Both run from this package's init function and never return from it. Go initialises packages in the order of their
// import paths as far as dependencies allow, so a package whose path sorts first and which needs only a little of the
// standard library starts in a few milliseconds and megabytes, although it lies in the same binary as all of
// Kubernetes (whose own initialisation takes some 80 ms and 60 MB). Keep its imports to the standard library.
package container

import (
	"fmt"
	"os"
	"path/filepath"
)

// The names under which the binary starts itself for the two steps (argv[0]).
const (
	ShimName = "localkube-shim"
	InitName = "localkube-init"
)

func init() {
	if len(os.Args) == 0 {
		return
	}
	var err error
	switch filepath.Base(os.Args[0]) {
	case ShimName:
		err = runShim(os.Args[1])
	case InitName:
		err = runInit(os.Args[1], statusFD)
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
