package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"apperate.io/localkube/container"
	"golang.org/x/sys/unix"
)

const (
	logLimit   = 64 << 20 // bytes of a component's log, before the older half is put aside
	checkEvery = 100 * time.Millisecond
)

// supervisor starts the components and starts those again that died by themselves. A component with a file
// DIR/run/NAME.stopped is left dead: that is how tests take one away.
type supervisor struct {
	dir      Dir
	config   Config
	lifeline *os.File // read end, for the kubelet; the write end lives in this process alone
	keepOpen *os.File
	network  net.Listener
	children map[string]*exec.Cmd
	died     chan string
	notUntil map[string]time.Time
	spawn    chan func()
}

// supervise runs a cluster until the context ends, SIGTERM comes, or the parent that it was bound to is gone.
func supervise(ctx context.Context, dir Dir) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	lock, err := dir.lock()
	if err != nil {
		return err
	}
	if lock == nil {
		return errors.New("a supervisor runs here already")
	}
	defer lock.Close()
	if err := container.WriteFile(dir.run("supervisor.pid"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return err
	}
	s := &supervisor{
		dir: dir, children: map[string]*exec.Cmd{}, died: make(chan string, 16), notUntil: map[string]time.Time{}, spawn: make(chan func()),
	}
	if err := s.prepare(); err != nil {
		return err
	}
	// Children are told of their parent's death by the thread that started them: keep one for that.
	go func() {
		runtime.LockOSThread()
		for start := range s.spawn {
			start()
		}
	}()
	// Containers whose kubelet was killed become children of this process, so that none can get away.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	s.loop(ctx)
	s.shutdown()
	return nil
}

func (s *supervisor) prepare() (err error) {
	if s.config, err = s.dir.Load(); err != nil {
		return err
	}
	if s.config.Network, s.network, err = claimNetwork(); err != nil {
		return err
	}
	ports, err := freePorts(5)
	if err != nil {
		return err
	}
	s.config.Ports = Ports{Etcd: ports[0], EtcdPeer: ports[1], APIServer: ports[2], Scheduler: ports[3], Kubelet: ports[4]}
	if err := makePKI(s.dir, s.config.Ports.APIServer); err != nil {
		return err
	}
	if err := container.WriteJSON(s.dir.config(), s.config); err != nil {
		return err
	}
	s.lifeline, s.keepOpen, err = os.Pipe()
	return err
}

func (s *supervisor) loop(ctx context.Context) {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for ticks := 0; ; ticks++ {
		for _, name := range Components {
			if s.children[name] == nil && !s.isStopped(name) && time.Now().After(s.notUntil[name]) {
				if err := s.start(name); err != nil {
					s.logf("starting %s: %v", name, err)
					s.notUntil[name] = time.Now().Add(time.Second)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case name := <-s.died:
			s.logf("%s ended: %s", name, s.children[name].ProcessState)
			delete(s.children, name)
			os.Remove(s.dir.run(name + ".pid"))
			s.notUntil[name] = time.Now().Add(500 * time.Millisecond)
		case <-ticker.C:
			if s.config.Parent != 0 && !isAlive(s.config.Parent) {
				s.logf("process %d, which this cluster was bound to, is gone", s.config.Parent)
				return
			}
			if ticks%10 == 0 {
				s.reapOrphans()
			}
			if ticks%100 == 0 {
				s.rotateLogs()
			}
		}
	}
}

func (s *supervisor) isStopped(name string) bool {
	_, err := os.Stat(s.dir.run(name + ".stopped"))
	return err == nil
}

func isAlive(pid int) bool { return container.StartTime(pid) != "" }

// start starts a component, with nothing of the caller's environment.
func (s *supervisor) start(name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.dir.log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(self, "run-component", name, "--dir", string(s.dir))
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + string(s.dir), "TMPDIR=" + os.TempDir()}
	command.Stdout, command.Stderr = log, log
	command.ExtraFiles = []*os.File{s.lifeline}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	s.spawn <- func() { result <- command.Start() }
	if err := <-result; err != nil {
		return err
	}
	s.children[name] = command
	go func() {
		command.Wait() //nolint:errcheck // its state is logged
		s.died <- name
	}()
	return container.WriteFile(s.dir.run(name+".pid"), []byte(strconv.Itoa(command.Process.Pid)), 0o644)
}

// shutdown kills everything that is left of the cluster: components, shims, containers.
func (s *supervisor) shutdown() {
	s.logf("stopping")
	s.keepOpen.Close() // the shims kill their containers
	for _, command := range s.children {
		command.Process.Kill() //nolint:errcheck // gone already
	}
	for len(s.children) > 0 {
		delete(s.children, <-s.died)
	}
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.ECHILD {
			break
		}
		if pid > 0 {
			continue
		}
		if time.Until(deadline) < 10*time.Second {
			for _, child := range container.Descendants(os.Getpid()) {
				syscall.Kill(child, syscall.SIGKILL)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, path := range []string{s.dir.data(), s.dir.node(), s.dir.volumes(), s.dir.path("pki"), s.dir.Kubeconfig(), s.dir.config()} {
		if err := os.RemoveAll(path); err != nil {
			s.logf("removing %s: %v", path, err)
		}
	}
	for _, name := range Components {
		os.Remove(s.dir.run(name + ".pid"))
		os.Remove(s.dir.run(name + ".stopped"))
	}
	os.Remove(s.dir.run("supervisor.pid"))
}

// reapOrphans takes the zombies of shims whose kubelet was killed; the components have their own waiters.
func (s *supervisor) reapOrphans() {
	ours := map[int]bool{}
	for _, command := range s.children {
		ours[command.Process.Pid] = true
	}
	for _, pid := range container.Zombies(os.Getpid()) {
		if !ours[pid] {
			syscall.Wait4(pid, nil, syscall.WNOHANG, nil) //nolint:errcheck // taken by its waiter
		}
	}
}

// rotateLogs puts a log that has grown too long aside. Its writers append, so it can be emptied under them.
func (s *supervisor) rotateLogs() {
	for _, name := range Components {
		path := s.dir.log(name)
		info, err := os.Stat(path)
		if err != nil || info.Size() < logLimit {
			continue
		}
		if data, err := os.ReadFile(path); err == nil {
			container.WriteFile(path+".1", data, 0o644) //nolint:errcheck // then it is lost
		}
		os.Truncate(path, 0) //nolint:errcheck // it is tried again
	}
}

func (s *supervisor) logf(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().UTC().Format(time.RFC3339Nano), strings.TrimSpace(fmt.Sprintf(format, values...)))
}
