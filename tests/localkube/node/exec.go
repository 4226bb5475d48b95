package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"apperate.io/localkube/container"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	utilexec "k8s.io/utils/exec"
)

// ExecSync implements the CRI, for probes and hooks: a process of the same environment, user and view of the file
// system as the container's, beside it.
func (r *Runtime) ExecSync(ctx context.Context, id string, command []string, timeout time.Duration) ([]byte, []byte, error) {
	r.mutex.Lock()
	c := r.containers[id]
	r.mutex.Unlock()
	if c == nil {
		return nil, nil, notFound("container", id)
	}
	var spec container.Spec
	if err := container.ReadJSON(filepath.Join(r.containerDir(id), container.SpecFile), &spec); err != nil {
		return nil, nil, err
	}
	spec.Argv = append([]string(nil), command...)
	if spec.Mode == container.ModePaths {
		for i := range spec.Argv {
			spec.Argv[i] = translatePaths(spec.Argv[i], spec.Mounts)
		}
	}
	file, err := os.CreateTemp(r.containerDir(id), "exec-*.json")
	if err != nil {
		return nil, nil, err
	}
	file.Close()
	defer os.Remove(file.Name())
	if err := container.WriteJSON(file.Name(), spec); err != nil {
		return nil, nil, err
	}
	return runSpec(ctx, file.Name(), spec.Mode, timeout)
}

func runSpec(ctx context.Context, path string, mode container.Mode, timeout time.Duration) ([]byte, []byte, error) {
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer outRead.Close()
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer errRead.Close()
	pid, err := container.StartInit(path, mode, outWrite, errWrite)
	outWrite.Close()
	errWrite.Close()
	if err != nil {
		return nil, nil, err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	stop := context.AfterFunc(ctx, func() { syscall.Kill(-pid, syscall.SIGKILL) })
	defer stop()
	var stderr bytes.Buffer
	done := make(chan struct{})
	go func() { stderr.ReadFrom(errRead); close(done) }() //nolint:errcheck // what was read counts
	stdout, _ := io.ReadAll(outRead)
	<-done
	var ended syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ended, 0, nil); err != nil {
		return stdout, stderr.Bytes(), err
	}
	if ctx.Err() != nil {
		return stdout, stderr.Bytes(), status.Errorf(codes.DeadlineExceeded, "command timed out after %s", timeout)
	}
	if code := ended.ExitStatus(); code != 0 {
		return stdout, stderr.Bytes(), utilexec.CodeExitError{Err: fmt.Errorf("command exited with %d", code), Code: code}
	}
	return stdout, stderr.Bytes(), nil
}
