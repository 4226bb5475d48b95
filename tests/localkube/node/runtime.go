// Package node is the cluster's one node: the real kubelet over a container runtime that starts local processes.
package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"apperate.io/localkube/container"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Version is what the runtime calls its version.
const Version = "1.0.0"

// Runtime starts containers as local processes. Everything about them lies in files, so that a restarted kubelet
// finds what runs: DIR/sandboxes/ID and DIR/containers/ID.
type Runtime struct {
	unimplemented
	dir      string
	mode     container.Mode
	network  byte // pods have addresses 127.network.x.y
	apiHost  string
	apiPort  string
	images   *imageStore
	lifeline *os.File // closes when the supervisor ends; every shim holds it

	mutex      sync.Mutex
	sandboxes  map[string]*sandbox
	containers map[string]*process
	removed    map[string]*removedContainer
	nextIP     int
}

type sandbox struct {
	ID        string
	IP        string
	CreatedAt int64
	Stopped   bool
	config    *runtimeapi.PodSandboxConfig
}

// process is what the runtime knows of a container; how it runs and ended is in the files of its shim.
type process struct {
	ID        string
	SandboxID string
	CreatedAt int64
	Image     string
	LogPath   string
	Started   bool
	config    *runtimeapi.ContainerConfig
	shim      container.Shim
	exit      *container.Exit
}

// Options are what a runtime is made from.
type Options struct {
	Dir      string
	Mode     container.Mode
	Network  byte
	APIHost  string
	APIPort  string
	Images   func() string
	Lifeline *os.File
}

// NewRuntime returns a runtime, with the pods that an earlier one left in the same directory.
func NewRuntime(options Options) (*Runtime, error) {
	r := &Runtime{
		dir: options.Dir, mode: options.Mode, network: options.Network,
		apiHost: options.APIHost, apiPort: options.APIPort,
		images: &imageStore{path: options.Images}, lifeline: options.Lifeline,
		sandboxes: map[string]*sandbox{}, containers: map[string]*process{},
		removed: map[string]*removedContainer{}, nextIP: 1,
	}
	for _, sub := range []string{"sandboxes", "containers"} {
		if err := os.MkdirAll(filepath.Join(r.dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	return r, r.reload()
}

func newID() string {
	var id [32]byte
	rand.Read(id[:]) //nolint:errcheck // never fails
	return hex.EncodeToString(id[:])
}

func (r *Runtime) sandboxDir(id string) string   { return filepath.Join(r.dir, "sandboxes", id) }
func (r *Runtime) containerDir(id string) string { return filepath.Join(r.dir, "containers", id[:16]) }

const (
	recordFile = "record.json"
	configFile = "config.pb"
)

func save(dir string, record any, config proto.Message) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if config != nil {
		data, err := proto.Marshal(config)
		if err != nil {
			return err
		}
		if err := container.WriteFile(filepath.Join(dir, configFile), data, 0o600); err != nil {
			return err
		}
	}
	return container.WriteJSON(filepath.Join(dir, recordFile), record)
}

func load(dir string, record any, config proto.Message) error {
	if err := container.ReadJSON(filepath.Join(dir, recordFile), record); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return err
	}
	return proto.Unmarshal(data, config)
}

// reload reads what is there; what was half made when the kubelet was killed is removed.
func (r *Runtime) reload() error {
	entries, err := os.ReadDir(filepath.Join(r.dir, "sandboxes"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		dir := filepath.Join(r.dir, "sandboxes", entry.Name())
		s := &sandbox{config: &runtimeapi.PodSandboxConfig{}}
		if err := load(dir, s, s.config); err != nil {
			os.RemoveAll(dir)
			continue
		}
		r.sandboxes[s.ID] = s
		r.nextIP++
	}
	entries, err = os.ReadDir(filepath.Join(r.dir, "containers"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		dir := filepath.Join(r.dir, "containers", entry.Name())
		c := &process{config: &runtimeapi.ContainerConfig{}}
		if err := load(dir, c, c.config); err != nil {
			os.RemoveAll(dir)
			continue
		}
		r.containers[c.ID] = c
	}
	return nil
}

// freeIP returns an address that no pod of this cluster has. All of 127/8 is the loopback interface.
func (r *Runtime) freeIP() (string, error) {
	used := map[string]bool{}
	for _, s := range r.sandboxes {
		if !s.Stopped {
			used[s.IP] = true
		}
	}
	const last = 250 * 250
	for range last {
		n := r.nextIP % last
		r.nextIP++
		ip := fmt.Sprintf("127.%d.%d.%d", r.network, 1+n/250, 1+n%250)
		if !used[ip] {
			return ip, nil
		}
	}
	return "", errors.New("no pod address is left")
}

func notFound(kind, id string) error {
	return status.Errorf(codes.NotFound, "%s %s is not there", kind, id)
}

// Version implements the CRI.
func (r *Runtime) Version(context.Context, string) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{
		Version: "0.1.0", RuntimeName: "localkube", RuntimeVersion: Version, RuntimeApiVersion: "v1",
	}, nil
}

// Status implements the CRI.
func (r *Runtime) Status(context.Context, bool) (*runtimeapi.StatusResponse, error) {
	return &runtimeapi.StatusResponse{Status: &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{
		{Type: runtimeapi.RuntimeReady, Status: true}, {Type: runtimeapi.NetworkReady, Status: true},
	}}}, nil
}

// RunPodSandbox implements the CRI: a sandbox is an address and a directory.
func (r *Runtime) RunPodSandbox(_ context.Context, config *runtimeapi.PodSandboxConfig, _ string) (string, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	ip, err := r.freeIP()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(config.GetLogDirectory(), 0o755); err != nil {
		return "", err
	}
	s := &sandbox{ID: newID(), IP: ip, CreatedAt: time.Now().UnixNano(), config: config}
	if err := save(r.sandboxDir(s.ID), s, config); err != nil {
		return "", err
	}
	r.sandboxes[s.ID] = s
	return s.ID, nil
}

// StopPodSandbox implements the CRI.
func (r *Runtime) StopPodSandbox(ctx context.Context, id string) error {
	r.mutex.Lock()
	s := r.sandboxes[id]
	var inside []string
	for _, c := range r.containers {
		if c.SandboxID == id {
			inside = append(inside, c.ID)
		}
	}
	r.mutex.Unlock()
	if s == nil {
		return nil
	}
	for _, c := range inside {
		if err := r.StopContainer(ctx, c, 0); err != nil {
			return err
		}
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	s.Stopped = true
	return save(r.sandboxDir(id), s, nil)
}

// RemovePodSandbox implements the CRI.
func (r *Runtime) RemovePodSandbox(ctx context.Context, id string) error {
	if err := r.StopPodSandbox(ctx, id); err != nil {
		return err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, c := range r.containers {
		if c.SandboxID == id {
			r.forget(c)
		}
	}
	delete(r.sandboxes, id)
	return os.RemoveAll(r.sandboxDir(id))
}

func (s *sandbox) state() runtimeapi.PodSandboxState {
	if s.Stopped {
		return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
	}
	return runtimeapi.PodSandboxState_SANDBOX_READY
}

// PodSandboxStatus implements the CRI.
func (r *Runtime) PodSandboxStatus(_ context.Context, id string, _ bool) (*runtimeapi.PodSandboxStatusResponse, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	s := r.sandboxes[id]
	if s == nil {
		return nil, notFound("sandbox", id)
	}
	return &runtimeapi.PodSandboxStatusResponse{Status: &runtimeapi.PodSandboxStatus{
		Id: s.ID, Metadata: s.config.Metadata, State: s.state(), CreatedAt: s.CreatedAt,
		Network: &runtimeapi.PodSandboxNetworkStatus{Ip: s.IP},
		Linux: &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{
			Options: s.config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
		Labels: s.config.Labels, Annotations: s.config.Annotations,
	}}, nil
}

// ListPodSandbox implements the CRI.
func (r *Runtime) ListPodSandbox(_ context.Context, filter *runtimeapi.PodSandboxFilter) ([]*runtimeapi.PodSandbox, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var list []*runtimeapi.PodSandbox
	for _, s := range r.sandboxes {
		if filter.GetId() != "" && filter.GetId() != s.ID ||
			filter.GetState() != nil && filter.GetState().State != s.state() ||
			!hasLabels(s.config.Labels, filter.GetLabelSelector()) {
			continue
		}
		list = append(list, &runtimeapi.PodSandbox{
			Id: s.ID, Metadata: s.config.Metadata, State: s.state(), CreatedAt: s.CreatedAt,
			Labels: s.config.Labels, Annotations: s.config.Annotations,
		})
	}
	return list, nil
}

func hasLabels(labels, selector map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}
