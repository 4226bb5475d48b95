package cluster

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Control takes a component away or brings it back: kill and stop leave it dead until start or restart; pause and
// resume send SIGSTOP and SIGCONT.
func Control(ctx context.Context, dir Dir, name, action string) error {
	if !slices.Contains(Components, name) {
		return fmt.Errorf("no component is called %q: there are %s", name, strings.Join(Components, ", "))
	}
	if running, err := dir.isRunning(); err != nil || !running {
		return fmt.Errorf("no cluster runs in %s", dir)
	}
	switch action {
	case "pause":
		return signalComponent(dir, name, syscall.SIGSTOP)
	case "resume":
		return signalComponent(dir, name, syscall.SIGCONT)
	case "kill":
		return endComponent(ctx, dir, name, syscall.SIGKILL)
	case "stop":
		return endComponent(ctx, dir, name, syscall.SIGTERM)
	case "start":
		return startComponent(ctx, dir, name)
	case "restart":
		if err := endComponent(ctx, dir, name, syscall.SIGKILL); err != nil {
			return err
		}
		return startComponent(ctx, dir, name)
	}
	return fmt.Errorf("no action is called %q: there are kill, stop, start, restart, pause, resume", action)
}

func signalComponent(dir Dir, name string, sig syscall.Signal) error {
	pid, err := dir.pid(name)
	if err != nil || !isAlive(pid) {
		return fmt.Errorf("%s is down", name)
	}
	return syscall.Kill(pid, sig)
}

func endComponent(ctx context.Context, dir Dir, name string, sig syscall.Signal) error {
	if err := os.WriteFile(dir.run(name+".stopped"), nil, 0o644); err != nil {
		return err
	}
	pid, err := dir.pid(name)
	if err != nil || !isAlive(pid) {
		return nil
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return err
	}
	if sig != syscall.SIGKILL {
		syscall.Kill(pid, syscall.SIGCONT)
	}
	return until(ctx, func() bool { return !isAlive(pid) })
}

// startComponent waits until the supervisor has started the component; what it does then is its own matter.
func startComponent(ctx context.Context, dir Dir, name string) error {
	if err := os.Remove(dir.run(name + ".stopped")); err != nil && !os.IsNotExist(err) {
		return err
	}
	return until(ctx, func() bool {
		pid, err := dir.pid(name)
		return err == nil && isAlive(pid)
	})
}

func until(ctx context.Context, done func() bool) error {
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
