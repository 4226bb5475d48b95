package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"

	"apperate.io/localkube/container"
)

// authority signs the certificates of one cluster.
type authority struct {
	dir  Dir
	cert *x509.Certificate
	key  crypto.Signer
}

// identity is a certificate to be made: DIR/pki/<file>.crt and .key.
type identity struct {
	file   string
	name   string
	groups []string
	server bool
}

func identities() []identity {
	return []identity{
		{file: "apiserver", name: "kube-apiserver", server: true},
		{file: "etcd", name: "etcd", server: true},
		{file: "kubelet", name: "kubelet", server: true},
		{file: "scheduler", name: "kube-scheduler", server: true},
		{file: "etcd-client", name: "kube-apiserver"},
		{file: "kubelet-client", name: "kube-apiserver-kubelet-client"},
		{file: "admin", name: "localkube-admin", groups: []string{"system:masters"}},
		// The controllers of one process share one identity; upstream each has a service account's.
		{file: "controllers-user", name: "system:kube-controller-manager", groups: []string{"system:masters"}},
		{file: "scheduler-user", name: "system:kube-scheduler"},
		{file: "node-user", name: "system:node:localhost", groups: []string{"system:nodes"}},
	}
}

// makePKI makes a cluster's authority, certificates, token key and kubeconfigs.
func makePKI(dir Dir, apiPort int) error {
	if err := os.MkdirAll(dir.path("pki"), 0o700); err != nil {
		return err
	}
	a, err := newAuthority(dir)
	if err != nil {
		return err
	}
	for _, id := range identities() {
		if err := a.issue(id); err != nil {
			return err
		}
	}
	if err := makeTokenKey(dir); err != nil {
		return err
	}
	for file, path := range map[string]string{
		"admin": dir.Kubeconfig(), "controllers-user": dir.kubeconfigOf("controllers"),
		"scheduler-user": dir.kubeconfigOf("scheduler"), "node-user": dir.kubeconfigOf("node"),
	} {
		if err := a.writeKubeconfig(file, path, apiPort); err != nil {
			return err
		}
	}
	return nil
}

func newAuthority(dir Dir) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "localkube"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{dir: dir, cert: cert, key: key}, writePEM(dir.pki("ca.crt"), "CERTIFICATE", der, 0o644)
}

func (a *authority) issue(id identity) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: id.name, Organization: id.groups},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if id.server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 0, 1)}
		template.DNSNames = []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(a.dir.pki(id.file+".crt"), "CERTIFICATE", der, 0o644); err != nil {
		return err
	}
	return writePEM(a.dir.pki(id.file+".key"), "PRIVATE KEY", keyDER, 0o600)
}

// makeTokenKey makes the key that service-account tokens are signed with.
func makeTokenKey(dir Dir) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(dir.pki("sa.pub"), "PUBLIC KEY", public, 0o644); err != nil {
		return err
	}
	return writePEM(dir.pki("sa.key"), "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), 0o600)
}

func (a *authority) writeKubeconfig(file, path string, apiPort int) error {
	read := func(name string) (string, error) {
		data, err := os.ReadFile(a.dir.pki(name))
		return encode(data), err
	}
	ca, err := read("ca.crt")
	if err != nil {
		return err
	}
	cert, err := read(file + ".crt")
	if err != nil {
		return err
	}
	key, err := read(file + ".key")
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: localkube
contexts: [{name: localkube, context: {cluster: localkube, user: %[1]s}}]
clusters: [{name: localkube, cluster: {server: "https://127.0.0.1:%[2]d", certificate-authority-data: %[3]s}}]
users: [{name: %[1]s, user: {client-certificate-data: %[4]s, client-key-data: %[5]s}}]
`, file, apiPort, ca, cert, key)
	return container.WriteFile(path, []byte(text), 0o600)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return container.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return big.NewInt(time.Now().UnixNano())
	}
	return number
}
