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
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"apperate.io/localkube/container"
	"k8s.io/client-go/tools/clientcmd"
)

// UpOptions are what `up` can be told.
type UpOptions struct {
	Images     string
	Audit      bool
	Mounts     string // auto, or a container.Mode
	Parent     int
	Foreground bool
	Timeout    time.Duration
}

// Up starts a cluster, or finds it running, and returns when its node is ready.
func Up(ctx context.Context, dir Dir, options UpOptions, out io.Writer) error {
	// Two of these at once are one cluster.
	gate, err := dir.lockFile("up.lock", syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer gate.Close()
	running, err := dir.isRunning()
	if err != nil {
		return err
	}
	if running {
		if err := adjust(dir, options); err != nil {
			return err
		}
		gate.Close()
		return waitReady(ctx, dir, options.Timeout, out)
	}
	if err := makeDir(dir, options); err != nil {
		return err
	}
	if options.Foreground {
		return upInForeground(ctx, dir, options, out, gate)
	}
	if err := spawnSupervisor(dir); err != nil {
		return err
	}
	gate.Close()
	return waitReady(ctx, dir, options.Timeout, out)
}

// adjust carries what may change on a running cluster: the mapping of images.
func adjust(dir Dir, options UpOptions) error {
	config, err := dir.Load()
	if err != nil {
		return nil // it is just starting
	}
	if options.Audit && !config.Audit {
		return errors.New("the cluster runs without an audit log; run `localkube down` first")
	}
	if options.Images != "" && options.Images != config.Images {
		config.Images = options.Images
		return container.WriteJSON(dir.config(), config)
	}
	return nil
}

// makeDir makes the directory of a new cluster, without what an earlier one may have left that was killed.
func makeDir(dir Dir, options UpOptions) error {
	for _, path := range []string{dir.data(), dir.node(), dir.volumes(), dir.path("pki"), dir.path("logs"), dir.path("audit.log")} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	for _, path := range []string{dir.data(), dir.node(), dir.volumes(), dir.path("logs"), dir.path("run")} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	for _, name := range Components {
		os.Remove(dir.run(name + ".stopped"))
	}
	config := Config{Images: options.Images, Audit: options.Audit, Parent: options.Parent}
	if options.Mounts == "auto" {
		config.Mode, config.ModeReason = container.DetectMode(dir.node())
	} else {
		config.Mode = container.Mode(options.Mounts)
	}
	return container.WriteJSON(dir.config(), config)
}

func spawnSupervisor(dir Dir) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(dir.log(supervisorName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(self, "run-component", supervisorName, "--dir", string(dir))
	command.Dir = "/"
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + string(dir), "TMPDIR=" + os.TempDir()}
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { command.Wait(); close(ended) }() //nolint:errcheck // its log says why
	for {
		if pid, err := dir.pid(supervisorName); err == nil && pid == command.Process.Pid {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("the cluster's supervisor ended; its log:\n%s", tail(dir.log(supervisorName)))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func upInForeground(ctx context.Context, dir Dir, options UpOptions, out io.Writer, gate io.Closer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- supervise(ctx, dir) }()
	ready := make(chan error, 1)
	go func() { ready <- waitReady(ctx, dir, options.Timeout, out) }()
	select {
	case err := <-ended:
		return err
	case err := <-ready:
		if err != nil {
			cancel()
			<-ended
			return err
		}
		gate.Close()
		fmt.Fprintln(out, "Ctrl-C ends it")
		return <-ended
	}
}

// waitReady waits until the node says that it is ready, and tells what it waits for.
func waitReady(ctx context.Context, dir Dir, timeout time.Duration, out io.Writer) error {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	told := ""
	for {
		state, err := nodeState(ctx, dir)
		if err == nil && state == "Ready" {
			fmt.Fprintf(out, "ready after %.1f s: export KUBECONFIG=%s\n", time.Since(started).Seconds(), dir.Kubeconfig())
			return nil
		}
		if running, err := dir.isRunning(); err == nil && !running && time.Since(started) > 5*time.Second {
			return fmt.Errorf("the cluster's supervisor ended; its log:\n%s", tail(dir.log(supervisorName)))
		}
		if state != told && time.Since(started) > 3*time.Second {
			fmt.Fprintf(out, "waiting: %s\n", state)
			told = state
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s (%s); logs are in %s; the supervisor's:\n%s", timeout, state, dir.path("logs"), tail(dir.log(supervisorName)))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

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

// Down ends a cluster and waits until nothing of it is left. Its logs stay.
func Down(dir Dir, out io.Writer) error {
	running, err := dir.isRunning()
	if err != nil {
		return err
	}
	if !running {
		fmt.Fprintln(out, "not running")
		return nil
	}
	pid, err := dir.pid(supervisorName)
	if err != nil {
		return fmt.Errorf("a supervisor runs, but which? %w", err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		if running, _ := dir.isRunning(); !running && !isAlive(pid) {
			fmt.Fprintln(out, "stopped")
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("supervisor %d does not end; its log:\n%s", pid, tail(dir.log(supervisorName)))
}

func (d Dir) pid(name string) (int, error) {
	data, err := os.ReadFile(d.run(name + ".pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
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

func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(data) > 4000 {
		data = data[len(data)-4000:]
	}
	return string(data)
}
