package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	lifelineFD = 3 // in the shim: closes when the cluster's supervisor is gone
	readyFD    = 4 // in the shim: tells the node "ok" or why the command could not be started
	statusFD   = 3 // in the init step: an error text, or closed by a successful exec

	prSetPdeathsig      = 1
	prSetChildSubreaper = 36
)

// Shim is what the node needs to find a shim again after the kubelet was restarted.
type Shim struct {
	PID       int    `json:"pid"`
	StartTime string `json:"startTime"` // from /proc, against reused pids
	MainPID   int    `json:"mainPid"`
	StartedAt int64  `json:"startedAt"` // Unix nanoseconds
}

// Alive says whether the shim still runs.
func (s Shim) Alive() bool { return s.PID > 0 && StartTime(s.PID) == s.StartTime }

// runShim starts the command of the container in dir, copies its output into its log, passes signals on, and writes
// how it ended. Signals to the shim: TERM asks the command to stop, USR1 kills everything, HUP reopens the log. When
// the lifeline closes, everything is killed too.
func runShim(dir string) error {
	var spec Spec
	if err := ReadJSON(filepath.Join(dir, SpecFile), &spec); err != nil {
		return err
	}
	ready := os.NewFile(readyFD, "ready")
	syscall.CloseOnExec(lifelineFD)
	syscall.CloseOnExec(readyFD)
	prctl(prSetChildSubreaper, 1)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGINT)

	log := &logWriter{path: spec.LogPath}
	if err := log.reopen(); err != nil {
		return err
	}
	main, copies, err := startInit(dir, &spec, log)
	if err != nil {
		finish(dir, Exit{Code: 128, Reason: "StartError", Message: err.Error()})
		fmt.Fprint(ready, err)
		return nil
	}
	info := Shim{PID: os.Getpid(), StartTime: StartTime(os.Getpid()), MainPID: main, StartedAt: time.Now().UnixNano()}
	if err := WriteJSON(filepath.Join(dir, ShimFile), info); err != nil {
		killAll(main)
		return err
	}
	fmt.Fprint(ready, "ok")
	ready.Close()
	go forwardSignals(signals, main, spec.StopSignal, log)
	go func() {
		buffer := make([]byte, 1)
		lifeline := os.NewFile(lifelineFD, "lifeline")
		for {
			if _, err := lifeline.Read(buffer); err != nil {
				killAll(main)
				return
			}
		}
	}()

	status := waitFor(main)
	killAll(main) // what the command left behind goes with it, as in a container
	reapAll()
	waitForCopies(copies)
	finish(dir, exitOf(status))
	return nil
}

func finish(dir string, exit Exit) {
	exit.FinishedAt = time.Now().UnixNano()
	WriteJSON(filepath.Join(dir, ExitFile), exit) //nolint:errcheck // the node then takes the shim for lost
}

func exitOf(status syscall.WaitStatus) Exit {
	switch {
	case status.Signaled():
		return Exit{Code: 128 + int(status.Signal()), Reason: "Error"}
	case status.ExitStatus() == 0:
		return Exit{Code: 0, Reason: "Completed"}
	default:
		return Exit{Code: status.ExitStatus(), Reason: "Error"}
	}
}

// startInit starts the init step and waits until it has become the container's command.
func startInit(dir string, spec *Spec, log *logWriter) (pid int, copies *sync.WaitGroup, err error) {
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	pid, err = StartInit(filepath.Join(dir, SpecFile), spec.Mode, outWrite, errWrite)
	outWrite.Close()
	errWrite.Close()
	if err != nil {
		return 0, nil, err
	}
	copies = &sync.WaitGroup{}
	copies.Go(func() { log.copyFrom("stdout", outRead) })
	copies.Go(func() { log.copyFrom("stderr", errRead) })
	return pid, copies, nil
}

// StartInit starts the init step for a spec file and returns its pid once it has become the command. On an error the
// process has been reaped.
func StartInit(specPath string, mode Mode, stdout, stderr *os.File) (int, error) {
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer statusRead.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		statusWrite.Close()
		return 0, err
	}
	defer null.Close()
	attributes := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	namespaces(mode, attributes)
	pid, err := syscall.ForkExec("/proc/self/exe", []string{InitName, specPath}, &syscall.ProcAttr{
		Dir: "/", Env: []string{},
		Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd(), statusWrite.Fd()},
		Sys:   attributes,
	})
	statusWrite.Close()
	if err != nil {
		return 0, fmt.Errorf("starting a process (%s): %w", mode, err)
	}
	message, err := io.ReadAll(statusRead)
	if err == nil && len(message) == 0 {
		return pid, nil
	}
	syscall.Wait4(pid, nil, 0, nil) //nolint:errcheck // it is gone either way
	return 0, errors.New(string(message))
}

func forwardSignals(signals <-chan os.Signal, main, stop int, log *logWriter) {
	for s := range signals {
		switch s {
		case syscall.SIGTERM:
			syscall.Kill(main, syscall.Signal(stop))
		case syscall.SIGUSR1:
			killAll(main)
		case syscall.SIGHUP:
			log.reopen() //nolint:errcheck // the old file goes on
		}
	}
}

// killAll kills the container's process group and every descendant, also those that made sessions of their own: the
// shim is their subreaper.
func killAll(main int) {
	syscall.Kill(-main, syscall.SIGKILL)
	for range 100 {
		descendants := Descendants(os.Getpid())
		if len(descendants) == 0 {
			return
		}
		for _, pid := range descendants {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if waitedMain(main) {
			reap()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var (
	waitMutex sync.Mutex
	mainDone  bool
)

func waitedMain(int) bool {
	waitMutex.Lock()
	defer waitMutex.Unlock()
	return mainDone
}

// waitFor reaps children until the given one has ended.
func waitFor(main int) syscall.WaitStatus {
	var status syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid == main || err != nil {
			waitMutex.Lock()
			mainDone = true
			waitMutex.Unlock()
			return status
		}
	}
}

// reapAll takes every child that is left, so that none is a zombie when the container is told to have ended.
func reapAll() {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.ECHILD {
			return
		}
		if pid == 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// reap takes the zombies that are there, without waiting.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
	}
}

// waitForCopies waits until the output is copied; everything that could still write is dead, so this is short.
func waitForCopies(copies *sync.WaitGroup) {
	done := make(chan struct{})
	go func() { copies.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
	}
}

func prctl(option int, argument uintptr) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, uintptr(option), argument, 0, 0, 0, 0)
	return errno
}

// Signal sends a signal to the shim, if it is the one that was recorded.
func (s Shim) Signal(sig syscall.Signal) error {
	if !s.Alive() {
		return os.ErrProcessDone
	}
	return syscall.Kill(s.PID, sig)
}

// LoadShim reads what a shim wrote when its command had started.
func LoadShim(dir string) (shim Shim, err error) {
	data, err := os.ReadFile(filepath.Join(dir, ShimFile))
	if err != nil {
		return shim, err
	}
	return shim, json.Unmarshal(data, &shim)
}
