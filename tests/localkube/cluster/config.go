// Package cluster is a local cluster as a whole: its files, its certificates, the process that supervises its
// components, and the commands for it.
package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"apperate.io/localkube/container"
)

// DefaultDir is where a cluster lies when nothing else is said.
const DefaultDir = ".build/localkube/cluster"

// Config is what a cluster was started with; it lies in DIR/cluster.json.
type Config struct {
	Images     string         `json:"images,omitempty"` // the mapping file
	Audit      bool           `json:"audit"`
	Mode       container.Mode `json:"mode"`
	ModeReason []string       `json:"modeReason,omitempty"` // why not a better one
	Network    byte           `json:"network"`              // pods have addresses 127.network.x.y
	Ports      Ports          `json:"ports"`
	Parent     int            `json:"parent,omitempty"` // the cluster ends with this process
}

// Ports are on 127.0.0.1.
type Ports struct {
	Etcd, EtcdPeer, APIServer, Scheduler, Kubelet int
}

// Dir is a cluster's directory.
type Dir string

func (d Dir) path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}
func (d Dir) config() string         { return d.path("cluster.json") }
func (d Dir) pki(name string) string { return d.path("pki", name) }
func (d Dir) data() string           { return d.path("data") }
func (d Dir) node() string           { return d.path("node") }
func (d Dir) volumes() string        { return d.path("volumes") }
func (d Dir) run(name string) string { return d.path("run", name) }
func (d Dir) log(name string) string { return d.path("logs", name+".log") }

// Kubeconfig is the administrator's.
func (d Dir) Kubeconfig() string { return d.path("kubeconfig") }

func (d Dir) kubeconfigOf(component string) string { return d.pki(component + ".kubeconfig") }

// Load reads a cluster's configuration.
func (d Dir) Load() (Config, error) {
	var config Config
	err := container.ReadJSON(d.config(), &config)
	return config, err
}

// lockFile opens a file of DIR/run and locks it; nil without an error means that LOCK_NB was given and it is taken.
func (d Dir) lockFile(name string, how int) (*os.File, error) {
	if err := os.MkdirAll(d.path("run"), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(d.run(name), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		switch {
		case err == nil:
			return file, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return nil, file.Close()
		default:
			file.Close()
			return nil, err
		}
	}
}

// lock takes the lock that a supervisor holds as long as it lives; nil when another process has it.
func (d Dir) lock() (*os.File, error) { return d.lockFile("lock", syscall.LOCK_EX|syscall.LOCK_NB) }

// isRunning says whether a supervisor lives.
func (d Dir) isRunning() (bool, error) {
	if _, err := os.Stat(d.run("lock")); err != nil {
		return false, nil
	}
	// A shared lock, so that two who look at once don't take each other for a supervisor.
	file, err := d.lockFile("lock", syscall.LOCK_SH|syscall.LOCK_NB)
	if err != nil || file == nil {
		return err == nil, err
	}
	return false, file.Close()
}

// freePorts picks ports that are free now. They are outside the range that the kernel gives to outgoing connections
// where there is room, so that nothing takes them while a component is down.
func freePorts(count int) ([]int, error) {
	low := ephemeralStart()
	var ports []int
	for attempts := 0; len(ports) < count; attempts++ {
		if attempts > 2000 {
			return nil, errors.New("no free ports on 127.0.0.1")
		}
		port := 0
		if low > 12000 {
			port = 10000 + rand.IntN(low-10000)
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
		defer listener.Close()
	}
	return ports, nil
}

func ephemeralStart() int {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	var low, high int
	if _, err := fmt.Sscan(string(data), &low, &high); err != nil {
		return 0
	}
	return low
}

// claimNetwork picks the second byte of the pods' addresses and holds it by listening on one of them, so that
// clusters side by side never share an address.
func claimNetwork() (byte, net.Listener, error) {
	for range 1000 {
		network := 16 + rand.IntN(200)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.%d.255.254:10250", network))
		if err == nil {
			return byte(network), listener, nil
		}
	}
	return 0, nil, errors.New("no free network in 127.0.0.0/8: is the loopback interface up?")
}
