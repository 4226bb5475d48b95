package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	cadvisorapi "github.com/google/cadvisor/info/v1"
	"go.opentelemetry.io/otel/trace/noop"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	v1core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	kubeletconfigv1beta1 "k8s.io/kubelet/config/v1beta1"
	"k8s.io/kubernetes/pkg/capabilities"
	"k8s.io/kubernetes/pkg/kubelet"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	kubeletscheme "k8s.io/kubernetes/pkg/kubelet/apis/config/scheme"
	cadvisortest "k8s.io/kubernetes/pkg/kubelet/cadvisor/testing"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	containerruntime "k8s.io/kubernetes/pkg/kubelet/kubeletconfig"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
	"k8s.io/kubernetes/pkg/util/oom"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/configmap"
	"k8s.io/kubernetes/pkg/volume/downwardapi"
	"k8s.io/kubernetes/pkg/volume/emptydir"
	"k8s.io/kubernetes/pkg/volume/hostpath"
	"k8s.io/kubernetes/pkg/volume/projected"
	"k8s.io/kubernetes/pkg/volume/secret"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
	"k8s.io/kubernetes/pkg/volume/util/subpath"
	"k8s.io/mount-utils"

	"apperate.io/localkube/container"
)

// Name is the node's name. It is its address too: the API server reaches the kubelet by it (for logs), because a
// kubelet refuses a loopback address as the node's own.
const Name = "localhost"

// Config is what the node is started with.
type Config struct {
	Dir        string // its files
	Kubeconfig string
	CA         string
	Cert       string
	Key        string
	Port       int // of the kubelet, on 127.0.0.1
	Mode       container.Mode
	Network    byte
	APIHost    string
	APIPort    string
	Images     func() string
	Lifeline   *os.File
}

// Run runs the node until the context ends.
func Run(ctx context.Context, config Config) error {
	runtime, err := NewRuntime(Options{
		Dir: config.Dir, Mode: config.Mode, Network: config.Network, APIHost: config.APIHost, APIPort: config.APIPort,
		Images: config.Images, Lifeline: config.Lifeline,
	})
	if err != nil {
		return err
	}
	kubeletDir := filepath.Join(config.Dir, "kubelet")
	settings, err := settings(config.Port, filepath.Join(config.Dir, "logs"))
	if err != nil {
		return err
	}
	dependencies, err := dependencies(ctx, config, settings, runtime)
	if err != nil {
		return err
	}
	kubelet.ContainerLogsDir = filepath.Join(config.Dir, "log-links")
	capabilities.Initialize(capabilities.Capabilities{AllowPrivileged: true})
	k, err := kubelet.NewMainKubelet(ctx, settings, dependencies, &containerruntime.ContainerRuntimeOptions{},
		Name, types.NodeName(Name), nil, "localkube://"+Name, "", filepath.Join(config.Dir, "pki"), kubeletDir,
		settings.PodLogsDir, "", "", true, nil, nil, "", false, false, metav1.Duration{}, 1, -1,
		map[string]string{}, 50, false)
	if err != nil {
		return fmt.Errorf("kubelet: %w", err)
	}
	k.BirthCry()
	k.StartGarbageCollection(ctx)
	go k.ListenAndServe(ctx, settings, dependencies.TLSConfig, nil, dependencies.TracerProvider)
	k.Run(ctx, dependencies.PodConfig.Updates())
	return nil
}

// settings is the kubelet's configuration: the defaults, less what needs cgroups, mounts or root.
func settings(port int, logs string) (*kubeletconfig.KubeletConfiguration, error) {
	scheme, _, err := kubeletscheme.NewSchemeAndCodecs()
	if err != nil {
		return nil, err
	}
	defaults := &kubeletconfigv1beta1.KubeletConfiguration{}
	scheme.Default(defaults)
	c := &kubeletconfig.KubeletConfiguration{}
	if err := scheme.Convert(defaults, c, nil); err != nil {
		return nil, err
	}
	c.Address, c.Port, c.ReadOnlyPort, c.HealthzPort = "127.0.0.1", int32(port), 0, 0
	c.PodLogsDir = logs
	c.FailCgroupV1, c.CgroupsPerQOS, c.EnforceNodeAllocatable = false, false, nil
	c.EvictionHard, c.EvictionSoft = nil, nil
	c.LocalStorageCapacityIsolation = false
	c.EnableControllerAttachDetach = false
	c.MakeIPTablesUtilChains = false
	c.FailSwapOn = false
	c.MaxPods = maxPods
	// Nobody answers there; without it the kubelet warns of every pod.
	c.ClusterDNS, c.ClusterDomain = []string{"10.0.0.10"}, "cluster.local"
	c.ImageGCHighThresholdPercent = 100
	c.SerializeImagePulls = false
	// A node of local processes is asked often: tests wait for what it does.
	c.SyncFrequency.Duration = 5 * time.Second
	c.NodeStatusUpdateFrequency.Duration = 5 * time.Second
	c.NodeLeaseDurationSeconds = 20
	c.ContainerLogMaxSize, c.ContainerLogMaxFiles = "32Mi", 3
	c.ConfigMapAndSecretChangeDetectionStrategy = kubeletconfig.WatchChangeDetectionStrategy
	return c, nil
}

// What the node claims to have. Nothing is limited, so these only keep the scheduler from turning pods away.
const (
	maxPods     = 2000
	numCores    = 64
	memoryBytes = 256 << 30
)

type machine struct{ cadvisortest.Fake }

func (machine) MachineInfo() (*cadvisorapi.MachineInfo, error) {
	return &cadvisorapi.MachineInfo{NumCores: numCores, MemoryCapacity: memoryBytes, InstanceID: Name}, nil
}

func dependencies(ctx context.Context, config Config, settings *kubeletconfig.KubeletConfiguration, runtime *Runtime) (*kubelet.Dependencies, error) {
	clientConfig, err := clientcmd.BuildConfigFromFlags("", config.Kubeconfig)
	if err != nil {
		return nil, err
	}
	clientConfig.QPS, clientConfig.Burst = 200, 400
	clientConfig.UserAgent = "kubelet"
	client, err := clientset.NewForConfig(clientConfig)
	if err != nil {
		return nil, err
	}
	heartbeatConfig := rest.CopyConfig(clientConfig)
	heartbeatConfig.Timeout, heartbeatConfig.QPS = 5*time.Second, -1
	heartbeat, err := clientset.NewForConfig(heartbeatConfig)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := servingTLS(config)
	if err != nil {
		return nil, err
	}
	startup := kubeletutil.NewPodStartupLatencyTracker()
	recorder := newRecorder(ctx, client)
	dependencies := &kubelet.Dependencies{
		KubeClient: client, HeartbeatClient: heartbeat, EventClient: client.CoreV1(), Recorder: recorder,
		OnHeartbeatFailure:        func() {},
		RemoteRuntimeService:      runtime,
		RemoteImageService:        imageService{runtime},
		CAdvisorInterface:         &machine{},
		ContainerManager:          cm.NewStubContainerManager(),
		OSInterface:               noLinks{kubecontainer.RealOS{}},
		OOMAdjuster:               oom.NewFakeOOMAdjuster(),
		Mounter:                   mount.NewFakeMounter(nil).WithSkipMountPointCheck(),
		Subpather:                 subpaths{},
		HostUtil:                  hostUtil{hostutil.NewHostUtil()},
		VolumePlugins:             volumePlugins(),
		TLSConfig:                 tlsConfig,
		TracerProvider:            noop.NewTracerProvider(),
		PodStartupLatencyTracker:  startup,
		NodeStartupLatencyTracker: kubeletutil.NewNodeStartupLatencyTracker(),
	}
	dependencies.PodConfig = podSource(ctx, client, recorder, startup)
	return dependencies, nil
}

func newRecorder(ctx context.Context, client clientset.Interface) record.EventRecorderLogger {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&v1core.EventSinkImpl{Interface: client.CoreV1().Events("")})
	return broadcaster.NewRecorder(scheme.Scheme, v1.EventSource{Component: "kubelet", Host: Name})
}

// servingTLS lets only holders of the cluster's own certificates ask the kubelet: the API server.
func servingTLS(config Config) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(config.Cert, config.Key)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(config.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("no certificate in " + config.CA)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}, nil
}

func volumePlugins() []volume.VolumePlugin {
	var plugins []volume.VolumePlugin
	plugins = append(plugins, emptydir.ProbeVolumePlugins()...)
	plugins = append(plugins, hostpath.ProbeVolumePlugins(volume.VolumeConfig{})...)
	plugins = append(plugins, secret.ProbeVolumePlugins()...)
	plugins = append(plugins, configmap.ProbeVolumePlugins()...)
	plugins = append(plugins, downwardapi.ProbeVolumePlugins()...)
	return append(plugins, projected.ProbeVolumePlugins()...)
}

// hostUtil is the real one but for a bind mount of the kubelet's directory that would outlive it.
type hostUtil struct{ *hostutil.HostUtil }

func (hostUtil) MakeRShared(string) error { return nil }

// subpaths are plain directories below their volumes.
type subpaths struct{}

func (subpaths) CleanSubPaths(string, string) error { return nil }

func (subpaths) PrepareSafeSubpath(s subpath.Subpath) (string, func(), error) {
	return s.Path, nil, nil
}

func (subpaths) SafeMakeDir(dir, volume string, mode os.FileMode) error {
	path := filepath.Join(volume, filepath.Join("/", dir)) // never above the volume
	if err := os.MkdirAll(path, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// noLinks is the real operating system, but for the links to logs that kubelets leave in /var/log/containers.
type noLinks struct{ kubecontainer.RealOS }

func (o noLinks) Symlink(oldname, newname string) error {
	if strings.HasPrefix(newname, "/var/log/") {
		return nil
	}
	return o.RealOS.Symlink(oldname, newname)
}

func (o noLinks) MkdirAll(path string, mode os.FileMode) error {
	if strings.HasPrefix(path, "/var/log/") {
		return nil
	}
	return o.RealOS.MkdirAll(path, mode)
}

// WaitReachable waits until something listens at an address, so that the kubelet does not start with errors.
func WaitReachable(ctx context.Context, address string) error {
	var dialer net.Dialer
	for {
		connection, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
