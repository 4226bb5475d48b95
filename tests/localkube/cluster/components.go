package cluster

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"

	"apperate.io/localkube/controlplane"
	"apperate.io/localkube/node"
)

// Components are a cluster's processes besides the supervisor, in the order in which they are started.
var Components = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"}

const (
	supervisorName = "supervisor"
	// lifelineFD is where a component finds the pipe that closes when the supervisor ends.
	lifelineFD = 3
)

func encode(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// RunComponent runs one component in this process until the context ends.
func RunComponent(ctx context.Context, dir Dir, name string) error {
	if name == supervisorName {
		return supervise(ctx, dir)
	}
	config, err := dir.Load()
	if err != nil {
		return err
	}
	switch name {
	case "etcd":
		return controlplane.RunEtcd(ctx, controlplane.Etcd{
			Dir: dir.data(), Port: config.Ports.Etcd, PeerPort: config.Ports.EtcdPeer,
			CA: dir.pki("ca.crt"), Cert: dir.pki("etcd.crt"), Key: dir.pki("etcd.key"),
		})
	case "kube-apiserver":
		return controlplane.RunAPIServer(ctx, controlplane.APIServer{
			Dir: string(dir), PKI: dir.path("pki"), Port: config.Ports.APIServer, EtcdPort: config.Ports.Etcd, Audit: config.Audit,
		})
	case "kube-controller-manager":
		return controlplane.RunControllers(ctx, controlplane.Controllers{
			Kubeconfig: dir.kubeconfigOf("controllers"), RootCA: dir.pki("ca.crt"), SigningKey: dir.pki("sa.key"), Volumes: dir.volumes(),
		})
	case "kube-scheduler":
		return controlplane.RunScheduler(ctx, dir.kubeconfigOf("scheduler"), config.Ports.Scheduler,
			dir.pki("scheduler.crt"), dir.pki("scheduler.key"))
	case "kubelet":
		return runNode(ctx, dir, config)
	}
	return fmt.Errorf("no component is called %q: there are %s", name, strings.Join(Components, ", "))
}

func runNode(ctx context.Context, dir Dir, config Config) error {
	address := fmt.Sprintf("127.0.0.1:%d", config.Ports.APIServer)
	if err := node.WaitReachable(ctx, address); err != nil {
		return nil
	}
	return node.Run(ctx, node.Config{
		Dir: dir.node(), Kubeconfig: dir.kubeconfigOf("node"), CA: dir.pki("ca.crt"),
		Cert: dir.pki("kubelet.crt"), Key: dir.pki("kubelet.key"), Port: config.Ports.Kubelet,
		Mode: config.Mode, Network: config.Network, APIHost: "127.0.0.1", APIPort: fmt.Sprint(config.Ports.APIServer),
		// `up` on a running cluster may name another file.
		Images: func() string {
			if now, err := dir.Load(); err == nil {
				return now.Images
			}
			return config.Images
		},
		Lifeline: os.NewFile(lifelineFD, "lifeline"),
	})
}

// IsComponent says whether a name is a component's.
func IsComponent(name string) bool {
	return name == supervisorName || slices.Contains(Components, name)
}
