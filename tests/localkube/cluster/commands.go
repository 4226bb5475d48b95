package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"apperate.io/localkube/container"
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
