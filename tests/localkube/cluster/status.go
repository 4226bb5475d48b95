package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"apperate.io/localkube/container"
	"k8s.io/client-go/tools/clientcmd"
)

// nodeState says in a few words how far a cluster is; "Ready" is the end.
func nodeState(ctx context.Context, dir Dir) (string, error) {
	body, err := get(ctx, dir, "/api/v1/nodes/localhost")
	if errors.Is(err, errNotThere) {
		return "the node has not registered", nil
	}
	if err != nil {
		return "the API server does not answer yet", err
	}
	var object struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
		Spec struct{ Taints []struct{ Key string } }
	}
	if err := json.Unmarshal(body, &object); err != nil {
		return "the API server answers nonsense", err
	}
	for _, condition := range object.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			if len(object.Spec.Taints) > 0 {
				return "the node is tainted: " + object.Spec.Taints[0].Key, nil
			}
			if _, err := get(ctx, dir, "/api/v1/namespaces/default/serviceaccounts/default"); err != nil {
				return "no default service account yet", nil
			}
			return "Ready", nil
		}
		if condition.Type == "Ready" {
			return "the node is not ready: " + condition.Message, nil
		}
	}
	return "the node tells nothing of itself yet", nil
}

var errNotThere = errors.New("not there")

func get(ctx context.Context, dir Dir, path string) ([]byte, error) {
	config, err := clientcmd.LoadFromFile(dir.Kubeconfig())
	if err != nil {
		return nil, err
	}
	cluster, user := config.Clusters["localkube"], config.AuthInfos["admin"]
	certificate, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cluster.CertificateAuthorityData)
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{certificate},
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, cluster.Server+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode == http.StatusNotFound {
		err = errNotThere
	} else if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", path, response.Status)
	}
	return body, err
}

// Status prints how a cluster runs; the answer says whether its node is ready.
func Status(ctx context.Context, dir Dir, out io.Writer) (bool, error) {
	running, err := dir.isRunning()
	if err != nil {
		return false, err
	}
	if !running {
		fmt.Fprintf(out, "no cluster runs in %s\n", dir)
		return false, nil
	}
	config, err := dir.Load()
	if err != nil {
		return false, err
	}
	state, _ := nodeState(ctx, dir)
	fmt.Fprintf(out, "directory   %s\nkubeconfig  %s\nstate       %s\n", dir, dir.Kubeconfig(), state)
	fmt.Fprintf(out, "server      https://127.0.0.1:%d\npods        127.%d.0.0/16\n", config.Ports.APIServer, config.Network)
	fmt.Fprintf(out, "volumes     %s\n", describe(config))
	fmt.Fprintf(out, "images      %s\naudit log   %s\n", orNone(config.Images), auditPath(dir, config))
	for _, name := range append([]string{supervisorName}, Components...) {
		fmt.Fprintf(out, "  %-24s %s\n", name, componentState(dir, name))
	}
	return state == "Ready", nil
}

func describe(config Config) string {
	text := map[container.Mode]string{
		container.ModeMount:     "mount namespaces: volumes are at their real paths",
		container.ModeUserMount: "user and mount namespaces: volumes are at their real paths",
		container.ModePaths:     "no namespaces: paths are translated in arguments and variables",
	}[config.Mode]
	if len(config.ModeReason) > 0 {
		text += " (" + strings.Join(config.ModeReason, "; ") + ")"
	}
	return text
}

func orNone(text string) string {
	if text == "" {
		return "none are mapped"
	}
	return text
}

func auditPath(dir Dir, config Config) string {
	if !config.Audit {
		return "off"
	}
	return dir.path("audit.log")
}

func componentState(dir Dir, name string) string {
	pid, err := dir.pid(name)
	if err != nil || !isAlive(pid) {
		return "down"
	}
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return "down"
	}
	state, memory := "", ""
	for _, line := range strings.Split(string(data), "\n") {
		if value, ok := strings.CutPrefix(line, "State:"); ok {
			state = strings.TrimSpace(value)
		}
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			memory = strings.TrimSpace(value)
		}
	}
	if strings.HasPrefix(state, "T") {
		return fmt.Sprintf("pid %d, paused", pid)
	}
	return fmt.Sprintf("pid %d, %s", pid, memory)
}
