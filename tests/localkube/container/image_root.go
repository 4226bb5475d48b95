package container

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// hostParts are what a container sees of the host besides its image: the kernel's file systems, a few devices, and how
// names are found. The rest of /dev is the image's, so that volumes find their mount points there (/dev/termination-log).
var hostParts = []string{
	"/proc", "/sys", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm",
	"/etc/resolv.conf", "/etc/hosts",
}

// imageFS is the file system of an image: paths start at its top.
type imageFS string

func (root imageFS) Lstat(path string) (os.FileInfo, error) {
	return os.Lstat(filepath.Join(string(root), path))
}

func (root imageFS) ReadDir(path string) ([]os.DirEntry, error) {
	return os.ReadDir(filepath.Join(string(root), path))
}

func (root imageFS) Readlink(path string) (string, error) {
	return os.Readlink(filepath.Join(string(root), path))
}

// enterImage shows the files of an image at root and mounts the volumes. What is written goes to a layer in memory, which
// ends with the container: the image stays as it is.
func enterImage(spec *Spec, root string) error {
	if err := layOver(spec, root); err != nil {
		return err
	}
	outer, inner := outermost(withHostParts(imageFS(root), spec.Mounts))
	for _, m := range outer {
		if err := makeMountPoint(root, m); err != nil {
			return err
		}
	}
	if spec.ReadOnlyRoot {
		if errno := setReadOnly(root, 0); errno != 0 {
			return fmt.Errorf("read-only root directory: %w", errno)
		}
	}
	for _, m := range append(outer, inner...) {
		if err := bindVolume(root, m); err != nil {
			return err
		}
	}
	return nil
}

// layOver mounts an overlay of the image and an empty layer.
func layOver(spec *Spec, root string) error {
	layer := filepath.Join(spec.Dir, LayerDir)
	upper, work := filepath.Join(layer, "upper"), filepath.Join(layer, "work")
	if err := os.MkdirAll(layer, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", layer, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("tmpfs for the container's layer: %w", err)
	}
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	options := "lowerdir=" + spec.ImageRoot + ",upperdir=" + upper + ",workdir=" + work
	if err := syscall.Mount("overlay", root, "overlay", 0, options); err != nil {
		return fmt.Errorf("the image's files, %s: %w", spec.ImageRoot, err)
	}
	return nil
}

// withHostParts adds what comes from the host, but for what a volume replaces. Links in paths are followed inside the image.
func withHostParts(fs imageFS, volumes []Mount) []Mount {
	var mounts []Mount
	for _, m := range volumes {
		m.Path = resolve(fs, m.Path)
		mounts = append(mounts, m)
	}
	for _, path := range hostParts {
		_, err := os.Stat(path)
		at := resolve(fs, path)
		isTaken := slices.ContainsFunc(mounts, func(m Mount) bool { return isBelow(at, m.Path) })
		if err == nil && !isTaken {
			mounts = append(mounts, Mount{HostPath: path, Path: at})
		}
	}
	return mounts
}
