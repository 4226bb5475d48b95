package container

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Mode says how a container sees its volumes.
type Mode string

const (
	// ModeMount: a mount namespace of its own, bind mounts at the real paths.
	ModeMount Mode = "mount"
	// ModeUserMount: the same inside a user namespace, for those who may not mount otherwise.
	ModeUserMount Mode = "user+mount"
	// ModePaths: no namespaces; paths are translated in arguments and environment values.
	ModePaths Mode = "paths"
)

// Mount is one bind mount: HostPath appears at Path.
type Mount struct {
	HostPath string `json:"hostPath"`
	Path     string `json:"path"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Spec is all that the shim and the init step need to know of a container. It lies in a file of mode 0600.
type Spec struct {
	Mode         Mode     `json:"mode"`
	Dir          string   `json:"dir"` // the container's own directory on the host
	Argv         []string `json:"argv"`
	Env          []string `json:"env"`
	WorkingDir   string   `json:"workingDir"`
	UID          int      `json:"uid"`
	GID          int      `json:"gid"`
	Groups       []int    `json:"groups,omitempty"`
	ReadAll      bool     `json:"readAll"` // keep CAP_DAC_READ_SEARCH when leaving root
	NoNewPrivs   bool     `json:"noNewPrivs,omitempty"`
	ReadOnlyRoot bool     `json:"readOnlyRoot,omitempty"`
	ImageRoot    string   `json:"imageRoot,omitempty"` // its files in place of the host's
	Mounts       []Mount  `json:"mounts,omitempty"`
	LogPath      string   `json:"logPath"`
	StopSignal   int      `json:"stopSignal"`
}

// Exit is how a container ended, written once by its shim.
type Exit struct {
	Code       int    `json:"code"` // 128 + signal when a signal ended it
	Reason     string `json:"reason"`
	Message    string `json:"message,omitempty"`
	FinishedAt int64  `json:"finishedAt"` // Unix nanoseconds
}

// The files in a container's directory.
const (
	SpecFile = "spec.json"
	ShimFile = "shim.json"
	ExitFile = "exit.json"
	RootDir  = "root"
	LayerDir = "layer"
)

// ReadJSON reads a JSON file into value.
func ReadJSON(path string, value any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// WriteJSON replaces a file by a value's JSON in one step, so that no reader sees half of it.
func WriteJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return WriteFile(path, data, 0o600)
}

// WriteFile replaces a file in one step.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(data); err != nil {
		file.Close()
		return err
	}
	if err := file.Chmod(mode); err != nil {
		file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
