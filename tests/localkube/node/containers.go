package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"apperate.io/localkube/container"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	utilexec "k8s.io/utils/exec"
)

const serviceAccountPath = "/var/run/secrets/kubernetes.io/serviceaccount"

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

// specOf turns what the kubelet asks for into what the shim starts.
func (r *Runtime) specOf(c *process, image Image, dir, hostname string) (container.Spec, error) {
	config := c.config
	security := config.GetLinux().GetSecurityContext()
	spec := container.Spec{
		Mode: r.mode, Dir: dir, LogPath: c.LogPath, UID: os.Getuid(), GID: os.Getgid(),
		NoNewPrivs: security.GetNoNewPrivs(), ReadOnlyRoot: security.GetReadonlyRootfs(),
		ReadAll:    image.ReadAll == nil || *image.ReadAll,
		StopSignal: stopSignal(config.GetStopSignal()),
	}
	if os.Getuid() == 0 {
		spec.UID, spec.GID = userOf(image, security)
		for _, group := range security.GetSupplementalGroups() {
			spec.Groups = append(spec.Groups, int(group))
		}
	}
	spec.Argv = commandOf(image, config.GetCommand(), config.GetArgs())
	spec.WorkingDir = firstText(config.GetWorkingDir(), image.WorkingDir, "/")
	for _, m := range config.GetMounts() {
		spec.Mounts = append(spec.Mounts, container.Mount{
			HostPath: m.GetHostPath(), Path: filepath.Clean(m.GetContainerPath()), ReadOnly: m.GetReadonly(),
		})
	}
	spec.Env = r.environmentOf(config, image, hostname, spec.UID)
	if r.mode == container.ModePaths {
		if err := r.usePaths(&spec, dir); err != nil {
			return spec, err
		}
	}
	return spec, nil
}

func userOf(image Image, security *runtimeapi.LinuxContainerSecurityContext) (uid, gid int) {
	if image.User != nil {
		uid = int(*image.User)
	}
	if user := security.GetRunAsUser(); user != nil {
		uid = int(user.GetValue())
	}
	if group := security.GetRunAsGroup(); group != nil {
		gid = int(group.GetValue())
	}
	return uid, gid
}

func (r *Runtime) environmentOf(config *runtimeapi.ContainerConfig, image Image, hostname string, uid int) []string {
	home := "/"
	if uid == 0 {
		home = "/root"
	}
	defaults := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + home, "HOSTNAME=" + hostname,
	}
	var imageEnv, own []string
	for name, value := range image.Env {
		imageEnv = append(imageEnv, name+"="+value)
	}
	for _, variable := range config.GetEnvs() {
		own = append(own, variable.GetKey()+"="+string(variable.GetValue()))
	}
	// The address that the kubelet gives for the API server is a service's, which nothing routes here.
	reachable := []string{
		"KUBERNETES_SERVICE_HOST=" + r.apiHost, "KUBERNETES_SERVICE_PORT=" + r.apiPort,
		"KUBERNETES_SERVICE_PORT_HTTPS=" + r.apiPort,
	}
	return environment(defaults, imageEnv, own, reachable)
}

// usePaths is the way without namespaces: volumes are found at their paths on the host, and clients that look for a
// token at its fixed path get a kubeconfig instead.
func (r *Runtime) usePaths(spec *container.Spec, dir string) error {
	hasKubeconfig := false
	for i := range spec.Argv {
		spec.Argv[i] = translatePaths(spec.Argv[i], spec.Mounts)
	}
	for i, variable := range spec.Env {
		name, value, _ := strings.Cut(variable, "=")
		hasKubeconfig = hasKubeconfig || name == "KUBECONFIG"
		if name != "PATH" {
			spec.Env[i] = name + "=" + translatePaths(value, spec.Mounts)
		}
	}
	spec.WorkingDir = translatePaths(spec.WorkingDir, spec.Mounts)
	for _, m := range spec.Mounts {
		if m.Path == serviceAccountPath && !hasKubeconfig {
			path := filepath.Join(dir, "kubeconfig")
			spec.Env = append(spec.Env, "KUBECONFIG="+path)
			return container.WriteFile(path, []byte(r.tokenKubeconfig(m.HostPath)), 0o644)
		}
	}
	return nil
}

func (r *Runtime) tokenKubeconfig(dir string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: in-cluster
contexts: [{name: in-cluster, context: {cluster: localkube, user: pod}}]
clusters: [{name: localkube, cluster: {server: "https://%s:%s", certificate-authority: %q}}]
users: [{name: pod, user: {tokenFile: %q}}]
`, r.apiHost, r.apiPort, filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token"))
}

func stopSignal(signal runtimeapi.Signal) int {
	if signal == runtimeapi.Signal_RUNTIME_DEFAULT {
		return int(syscall.SIGTERM)
	}
	return int(signal)
}

func firstText(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
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

// imageUser is the uid that an image's processes have; an ordinary user has only its own.
func (r *Runtime) imageUser(image Image) int64 {
	if os.Getuid() != 0 {
		return int64(os.Getuid())
	}
	if image.User != nil {
		return *image.User
	}
	return 0
}
