package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"apperate.io/localkube/container"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const serviceAccountPath = "/var/run/secrets/kubernetes.io/serviceaccount"

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
	if spec.ImageRoot = image.Root; image.Root == "" {
		spec.Mounts = withBase(spec.Mounts, image.Base)
	}
	spec.Env = r.environmentOf(config, image, hostname, spec.UID)
	if r.mode == container.ModePaths {
		if image.Root != "" {
			return spec, fmt.Errorf("the image has a root directory of its own, %s, which needs mount namespaces: see `localkube status`", image.Root)
		}
		if err := r.usePaths(&spec, dir); err != nil {
			return spec, err
		}
	}
	return spec, nil
}

// withBase keeps the directory that an image runs from in sight when a volume is mounted above it: a checkout below /tmp,
// and a pod with an emptyDir at /tmp.
func withBase(mounts []container.Mount, base string) []container.Mount {
	for _, m := range mounts {
		if strings.HasPrefix(base, m.Path+"/") {
			return append(mounts, container.Mount{HostPath: base, Path: base})
		}
	}
	return mounts
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
