// Package controlplane starts the upstream components of a cluster: etcd, the API server, the scheduler, and the
// controllers.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// Etcd is what etcd is started with.
type Etcd struct {
	Dir                       string
	Port, PeerPort            int
	CA, Cert, Key, Advertised string
}

// RunEtcd runs etcd until the context ends. Its data is as short-lived as the cluster, so it does without fsync.
func RunEtcd(ctx context.Context, config Etcd) error {
	local := func(port int) []url.URL {
		return []url.URL{{Scheme: "https", Host: fmt.Sprintf("127.0.0.1:%d", port)}}
	}
	c := embed.NewConfig()
	c.Name, c.Dir = "localkube", filepath.Join(config.Dir, "etcd")
	c.ListenClientUrls, c.AdvertiseClientUrls = local(config.Port), local(config.Port)
	c.ListenPeerUrls, c.AdvertisePeerUrls = local(config.PeerPort), local(config.PeerPort)
	c.InitialCluster = "localkube=" + local(config.PeerPort)[0].String()
	c.ClientTLSInfo.CertFile, c.ClientTLSInfo.KeyFile = config.Cert, config.Key
	c.ClientTLSInfo.TrustedCAFile, c.ClientTLSInfo.ClientCertAuth = config.CA, true
	c.PeerTLSInfo = c.ClientTLSInfo
	c.UnsafeNoFsync = true
	c.LogLevel, c.WarningUnaryRequestDuration = "error", time.Second
	c.AutoCompactionMode, c.AutoCompactionRetention = "periodic", "5m"
	server, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	defer server.Close()
	select {
	case <-ctx.Done():
		return nil
	case err := <-server.Err():
		return err
	case <-server.Server.StopNotify():
		return errors.New("etcd stopped")
	}
}

// APIServer is what the API server is started with.
type APIServer struct {
	Dir, PKI       string
	Port, EtcdPort int
	Audit          bool
}

// RunAPIServer runs the API server; it ends by signals.
func RunAPIServer(ctx context.Context, config APIServer) error {
	pki := func(name string) string { return filepath.Join(config.PKI, name) }
	flags := map[string]string{
		"bind-address":                     "127.0.0.1",
		"advertise-address":                "127.0.0.1",
		"secure-port":                      fmt.Sprint(config.Port),
		"etcd-servers":                     fmt.Sprintf("https://127.0.0.1:%d", config.EtcdPort),
		"etcd-cafile":                      pki("ca.crt"),
		"etcd-certfile":                    pki("etcd-client.crt"),
		"etcd-keyfile":                     pki("etcd-client.key"),
		"client-ca-file":                   pki("ca.crt"),
		"tls-cert-file":                    pki("apiserver.crt"),
		"tls-private-key-file":             pki("apiserver.key"),
		"kubelet-certificate-authority":    pki("ca.crt"),
		"kubelet-client-certificate":       pki("kubelet-client.crt"),
		"kubelet-client-key":               pki("kubelet-client.key"),
		"kubelet-preferred-address-types":  "Hostname",
		"service-account-issuer":           "https://kubernetes.default.svc.cluster.local",
		"service-account-key-file":         pki("sa.pub"),
		"service-account-signing-key-file": pki("sa.key"),
		"service-cluster-ip-range":         "10.0.0.0/24",
		"authorization-mode":               "Node,RBAC",
		"enable-admission-plugins":         "NodeRestriction",
		"endpoint-reconciler-type":         "none", // it refuses loopback addresses
		"profiling":                        "false",
		"shutdown-delay-duration":          "0s",
		"event-ttl":                        "6h",
	}
	if config.Audit {
		policy := filepath.Join(config.Dir, "audit-policy.yaml")
		if err := os.WriteFile(policy, []byte(auditPolicy), 0o644); err != nil {
			return err
		}
		flags["audit-policy-file"] = policy
		flags["audit-log-path"] = filepath.Join(config.Dir, "audit.log")
		flags["audit-log-maxsize"] = "200"
		flags["audit-log-maxbackup"] = "3"
		flags["audit-log-mode"] = "blocking" // an answered request is in the log
	}
	command := apiserver.NewAPIServerCommand()
	command.SetArgs(arguments(flags))
	return command.ExecuteContext(ctx)
}

// auditPolicy records who did what to what with what answer; for writes also what was sent, but never a Secret.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
omitManagedFields: true
rules:
  - level: Metadata
    resources:
      - {group: "", resources: [secrets, serviceaccounts/token]}
      - {group: authentication.k8s.io, resources: [tokenreviews]}
  - level: Request
    verbs: [create, update, patch, delete, deletecollection]
  - level: Metadata
`

// RunScheduler runs the scheduler; it ends by signals.
func RunScheduler(ctx context.Context, kubeconfig string, port int, cert, key string) error {
	command := scheduler.NewSchedulerCommand()
	command.SetArgs(arguments(map[string]string{
		"kubeconfig":                kubeconfig,
		"authentication-kubeconfig": kubeconfig,
		"authorization-kubeconfig":  kubeconfig,
		"bind-address":              "127.0.0.1",
		"secure-port":               fmt.Sprint(port),
		"tls-cert-file":             cert,
		"tls-private-key-file":      key,
		"leader-elect":              "false",
		"kube-api-qps":              "500",
		"kube-api-burst":            "1000",
		"profiling":                 "false",
	}))
	return command.ExecuteContext(ctx)
}

func arguments(flags map[string]string) []string {
	var list []string
	for name, value := range flags {
		list = append(list, "--"+name+"="+value)
	}
	return list
}
