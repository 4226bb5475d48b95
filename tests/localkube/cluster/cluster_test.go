package cluster

import (
	"crypto/tls"
	"net"
	"os"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func TestFreePortsDiffer(t *testing.T) {
	ports, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] || port < 1024 {
			t.Errorf("%v", ports)
		}
		seen[port] = true
	}
}

func TestNetworksAreClaimed(t *testing.T) {
	seen := map[byte]bool{}
	for range 20 {
		network, listener, err := claimNetwork()
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if seen[network] {
			t.Errorf("127.%d was given twice", network)
		}
		seen[network] = true
	}
}

func TestCertificatesServeAndAuthenticate(t *testing.T) {
	dir := Dir(t.TempDir())
	if err := makePKI(dir, 1234); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", dir.Kubeconfig())
	if err != nil || config.Host != "https://127.0.0.1:1234" {
		t.Fatalf("%v %v", config, err)
	}
	client, err := tls.X509KeyPair(config.CertData, config.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	if client.Leaf.Subject.Organization[0] != "system:masters" {
		t.Error(client.Leaf.Subject)
	}
	server, err := tls.LoadX509KeyPair(dir.pki("apiserver.crt"), dir.pki("apiserver.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"127.0.0.1", "localhost", "kubernetes.default.svc"} {
		if err := server.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	info, err := os.Stat(dir.Kubeconfig())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestOnlyOneSupervisorHasTheLock(t *testing.T) {
	dir := Dir(t.TempDir())
	if running, err := dir.isRunning(); running || err != nil {
		t.Error(running, err)
	}
	first, err := dir.lock()
	if err != nil || first == nil {
		t.Fatal(err)
	}
	if second, err := dir.lock(); second != nil || err != nil {
		t.Error("two have it", err)
	}
	if running, err := dir.isRunning(); !running || err != nil {
		t.Error(running, err)
	}
	first.Close()
	if running, err := dir.isRunning(); running || err != nil {
		t.Error(running, err)
	}
}

func TestPortsInUseAreNotPicked(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().(*net.TCPAddr).Port
	ports, err := freePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		if port == taken {
			t.Error("a port that is in use was picked")
		}
	}
}
