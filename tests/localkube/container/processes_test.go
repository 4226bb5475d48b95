package container

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
)

func TestParseStatTakesAnyProgramName(t *testing.T) {
	const rest = " S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2"
	for _, name := range []string{"sh", "a b", "x) R 1 (", ")"} {
		e, ok := parseStat("42 (" + name + ")" + rest)
		if !ok || e != (entry{pid: 42, parent: 7, state: "S", startTime: "98765"}) {
			t.Errorf("%q: %+v %v", name, e, ok)
		}
	}
	for _, text := range []string{"", "42", "42 (sh) S"} {
		if _, ok := parseStat(text); ok {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestDescendantsAndStartTime(t *testing.T) {
	command := exec.Command("sh", "-c", "sleep 60 & wait")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	pid := command.Process.Pid
	found := Descendants(os.Getpid())
	if !slices.Contains(found, pid) || StartTime(pid) == "" {
		t.Errorf("%d not in %v", pid, found)
	}
	for _, child := range Descendants(pid) {
		syscall.Kill(child, syscall.SIGKILL)
	}
	command.Process.Kill()
	command.Wait()
	if StartTime(pid) != "" {
		t.Error("a process that was reaped has a start time")
	}
	if (Shim{PID: os.Getpid(), StartTime: "1"}).Alive() {
		t.Error("another process of the same pid is taken for the shim")
	}
}

func TestExitCodes(t *testing.T) {
	for script, want := range map[string]Exit{
		"exit 0":        {Code: 0, Reason: "Completed"},
		"exit 78":       {Code: 78, Reason: "Error"},
		"kill -KILL $$": {Code: 137, Reason: "Error"},
	} {
		command := exec.Command("sh", "-c", script)
		command.Run()
		if got := exitOf(command.ProcessState.Sys().(syscall.WaitStatus)); got != want {
			t.Errorf("%s: %+v", script, got)
		}
	}
}
