package container

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// DetectMode finds out how much of a container's view of the file system this machine allows, by trying it in a
// scratch directory: the first mode in which a program sees a file at a path that the host does not have.
func DetectMode(dir string) (Mode, []string) {
	modes := []Mode{ModeUserMount, ModePaths}
	if os.Getuid() == 0 {
		modes = []Mode{ModeMount, ModeUserMount, ModePaths}
	}
	var why []string
	for _, mode := range modes {
		if mode == ModePaths {
			break
		}
		err := tryMode(dir, mode)
		if err == nil {
			return mode, why
		}
		why = append(why, fmt.Sprintf("%s: %v", mode, err))
	}
	return ModePaths, why
}

const probeText = "localkube"

func tryMode(parent string, mode Mode) error {
	dir, err := os.MkdirTemp(parent, "probe-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	volume := filepath.Join(dir, "volume")
	if err := os.Mkdir(volume, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(volume, "text"), []byte(probeText), 0o644); err != nil {
		return err
	}
	const path = "/localkube-probe/volume"
	spec := Spec{
		Mode: mode, Dir: dir, WorkingDir: "/", UID: os.Getuid(), GID: os.Getgid(),
		Argv:   []string{"/bin/cat", filepath.Join(path, "text")},
		Mounts: []Mount{{HostPath: volume, Path: path}},
	}
	specPath := filepath.Join(dir, SpecFile)
	if err := WriteJSON(specPath, spec); err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	pid, err := StartInit(specPath, mode, write, write)
	write.Close()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(read); err != nil {
		return err
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		process.Wait() //nolint:errcheck // its output is what counts
	}
	if text := strings.TrimSpace(out.String()); text != probeText {
		return fmt.Errorf("the volume was not visible: %q", text)
	}
	return nil
}
