package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"apperate.io/localkube/container"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CreateContainer implements the CRI.
func (r *Runtime) CreateContainer(_ context.Context, sandboxID string, config *runtimeapi.ContainerConfig, sandboxConfig *runtimeapi.PodSandboxConfig) (string, error) {
	image, err := r.images.find(config.GetImage().GetImage())
	if err != nil {
		return "", err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	s := r.sandboxes[sandboxID]
	if s == nil {
		return "", notFound("sandbox", sandboxID)
	}
	c := &process{
		ID: newID(), SandboxID: sandboxID, CreatedAt: time.Now().UnixNano(), Image: firstText(config.GetImage().GetUserSpecifiedImage(), config.GetImage().GetImage()),
		LogPath: filepath.Join(sandboxConfig.GetLogDirectory(), config.GetLogPath()), config: config,
	}
	dir := r.containerDir(c.ID)
	if err := save(dir, c, config); err != nil {
		return "", err
	}
	spec, err := r.specOf(c, image, dir, sandboxConfig.GetHostname())
	if err == nil {
		err = container.WriteJSON(filepath.Join(dir, container.SpecFile), spec)
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	r.containers[c.ID] = c
	return c.ID, nil
}

// StartContainer implements the CRI: it starts the shim and waits until the command runs.
func (r *Runtime) StartContainer(_ context.Context, id string) error {
	r.mutex.Lock()
	c := r.containers[id]
	r.mutex.Unlock()
	if c == nil {
		return notFound("container", id)
	}
	dir := r.containerDir(id)
	readyRead, readyWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyRead.Close()
	shim := exec.Command("/proc/self/exe")
	shim.Args = []string{container.ShimName, dir}
	shim.Env = []string{}
	shim.ExtraFiles = []*os.File{r.lifeline, readyWrite}
	shim.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = shim.Start()
	readyWrite.Close()
	if err != nil {
		return err
	}
	go shim.Wait() //nolint:errcheck // its files say how the container ended
	message, err := io.ReadAll(readyRead)
	if err != nil {
		return err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	c.Started = true
	if err := save(dir, c, nil); err != nil {
		return err
	}
	if string(message) != "ok" {
		return errors.New(firstText(string(message), "the container's shim died"))
	}
	return nil
}

// refresh reads how a container runs. The lock is held.
func (r *Runtime) refresh(c *process) runtimeapi.ContainerState {
	if c.exit != nil {
		return runtimeapi.ContainerState_CONTAINER_EXITED
	}
	dir := r.containerDir(c.ID)
	if c.shim.PID == 0 {
		shim, err := container.LoadShim(dir)
		if err == nil {
			c.shim = shim
		}
	}
	alive := c.shim.Alive()
	var exit container.Exit
	if err := container.ReadJSON(filepath.Join(dir, container.ExitFile), &exit); err == nil {
		c.exit = &exit
		return runtimeapi.ContainerState_CONTAINER_EXITED
	}
	switch {
	case alive:
		return runtimeapi.ContainerState_CONTAINER_RUNNING
	case c.shim.PID != 0:
		c.exit = &container.Exit{Code: 137, Reason: "Error", Message: "the container's shim was killed", FinishedAt: time.Now().UnixNano()}
		container.WriteJSON(filepath.Join(dir, container.ExitFile), c.exit) //nolint:errcheck // found again next time
		return runtimeapi.ContainerState_CONTAINER_EXITED
	case c.Started:
		c.exit = &container.Exit{Code: 128, Reason: "StartError", FinishedAt: time.Now().UnixNano()}
		return runtimeapi.ContainerState_CONTAINER_EXITED
	default:
		return runtimeapi.ContainerState_CONTAINER_CREATED
	}
}

// StopContainer implements the CRI: the stop signal, then, after timeout seconds, SIGKILL for all of it.
func (r *Runtime) StopContainer(ctx context.Context, id string, timeout int64) error {
	r.mutex.Lock()
	c := r.containers[id]
	r.mutex.Unlock()
	if c == nil {
		return nil
	}
	stopped := func() bool {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		return r.refresh(c) != runtimeapi.ContainerState_CONTAINER_RUNNING
	}
	if stopped() {
		return nil
	}
	if timeout > 0 {
		c.shim.Signal(syscall.SIGTERM) //nolint:errcheck // gone already
		if poll(ctx, time.Duration(timeout)*time.Second, stopped) {
			return nil
		}
	}
	c.shim.Signal(syscall.SIGUSR1) //nolint:errcheck // gone already
	if !poll(ctx, 10*time.Second, stopped) {
		return status.Errorf(codes.DeadlineExceeded, "container %s does not end", id)
	}
	return nil
}

func poll(ctx context.Context, timeout time.Duration, done func() bool) bool {
	deadline := time.Now().Add(timeout)
	for time.Now().Before(deadline) {
		if done() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return done()
}

// RemoveContainer implements the CRI.
func (r *Runtime) RemoveContainer(ctx context.Context, id string) error {
	if err := r.StopContainer(ctx, id, 0); err != nil {
		return err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if c := r.containers[id]; c != nil {
		return r.forget(c)
	}
	return nil
}

// removedContainer is the last status of a container that is gone. Who follows its log (kubectl logs -f) asks for it
// once more at the end, and would be told of an error in the middle of the output.
type removedContainer struct {
	status *runtimeapi.ContainerStatus
	at     time.Time
}

const rememberRemoved = time.Minute

// forget removes a container's files. The lock is held.
func (r *Runtime) forget(c *process) error {
	for id, gone := range r.removed {
		if time.Since(gone.at) > rememberRemoved {
			delete(r.removed, id)
		}
	}
	r.removed[c.ID] = &removedContainer{status: r.statusOf(c), at: time.Now()}
	delete(r.containers, c.ID)
	return os.RemoveAll(r.containerDir(c.ID))
}

// ListContainers implements the CRI.
func (r *Runtime) ListContainers(_ context.Context, filter *runtimeapi.ContainerFilter) ([]*runtimeapi.Container, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var list []*runtimeapi.Container
	for _, c := range r.containers {
		if filter.GetId() != "" && filter.GetId() != c.ID ||
			filter.GetPodSandboxId() != "" && filter.GetPodSandboxId() != c.SandboxID ||
			!hasLabels(c.config.Labels, filter.GetLabelSelector()) {
			continue
		}
		state := r.refresh(c)
		if filter.GetState() != nil && filter.GetState().State != state {
			continue
		}
		list = append(list, &runtimeapi.Container{
			Id: c.ID, PodSandboxId: c.SandboxID, Metadata: c.config.Metadata, Image: c.config.Image,
			ImageRef: imageID(c.Image), ImageId: imageID(c.Image), State: state, CreatedAt: c.CreatedAt,
			Labels: c.config.Labels, Annotations: c.config.Annotations,
		})
	}
	return list, nil
}

// ContainerStatus implements the CRI.
func (r *Runtime) ContainerStatus(_ context.Context, id string, _ bool) (*runtimeapi.ContainerStatusResponse, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	c := r.containers[id]
	if gone := r.removed[id]; gone != nil {
		return &runtimeapi.ContainerStatusResponse{Status: gone.status}, nil
	}
	if c == nil {
		return nil, notFound("container", id)
	}
	return &runtimeapi.ContainerStatusResponse{Status: r.statusOf(c)}, nil
}

// statusOf tells all about a container. The lock is held.
func (r *Runtime) statusOf(c *process) *runtimeapi.ContainerStatus {
	answer := &runtimeapi.ContainerStatus{
		Id: c.ID, Metadata: c.config.Metadata, State: r.refresh(c), CreatedAt: c.CreatedAt, StartedAt: c.shim.StartedAt,
		Image: &runtimeapi.ImageSpec{Image: c.Image}, ImageRef: imageID(c.Image), ImageId: imageID(c.Image),
		Labels: c.config.Labels, Annotations: c.config.Annotations, Mounts: c.config.Mounts, LogPath: c.LogPath,
	}
	if c.exit != nil {
		answer.ExitCode, answer.Reason = int32(c.exit.Code), c.exit.Reason
		answer.Message, answer.FinishedAt = c.exit.Message, c.exit.FinishedAt
		if answer.StartedAt == 0 {
			answer.StartedAt = c.exit.FinishedAt
		}
	}
	return answer
}

// ReopenContainerLog implements the CRI; the kubelet calls it when it has rotated the log.
func (r *Runtime) ReopenContainerLog(ctx context.Context, id string) error {
	r.mutex.Lock()
	c := r.containers[id]
	if c == nil || r.refresh(c) != runtimeapi.ContainerState_CONTAINER_RUNNING {
		r.mutex.Unlock()
		return notFound("running container", id)
	}
	r.mutex.Unlock()
	if err := c.shim.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	exists := func() bool { _, err := os.Stat(c.LogPath); return err == nil }
	if !poll(ctx, 5*time.Second, exists) {
		return fmt.Errorf("%s was not opened anew", c.LogPath)
	}
	return nil
}
