package container

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

const (
	capDacOverride   = 1
	capDacReadSearch = 2
	capSysChroot     = 18
	capSysAdmin      = 21

	prSetKeepCaps     = 8
	prSetNoNewPrivs   = 38
	prCapAmbient      = 47
	capAmbientRaise   = 2
	capAmbientClear   = 4
	capabilityVersion = 0x20080522

	sysMountSetattr    = 442
	atRecursive        = 0x8000
	mountAttrReadOnly  = 0x1
	unsharedMountFlags = syscall.MS_REC | syscall.MS_PRIVATE
)

// runInit builds the view that a container has of the file system, drops to its user and becomes its command. It
// returns only on failure; the text goes to the status pipe, which a successful exec closes.
func runInit(specPath string, status uintptr) error {
	syscall.CloseOnExec(int(status))
	fail := func(err error) error {
		fmt.Fprint(os.NewFile(status, "status"), err)
		return err
	}
	var spec Spec
	if err := ReadJSON(specPath, &spec); err != nil {
		return fail(err)
	}
	if spec.Mode != ModePaths {
		if err := enterRoot(&spec); err != nil {
			return fail(err)
		}
	}
	syscall.Umask(0o022)
	path, err := lookPath(spec.Argv, spec.Env, spec.WorkingDir)
	if err != nil {
		return fail(err)
	}
	if err := os.Chdir(spec.WorkingDir); err != nil {
		return fail(fmt.Errorf("working directory: %w", err))
	}
	if err := becomeUser(&spec); err != nil {
		return fail(err)
	}
	if spec.NoNewPrivs {
		prctl(prSetNoNewPrivs, 1)
	}
	// The kernel forgets this when the user changes.
	prctl(prSetPdeathsig, uintptr(syscall.SIGKILL))
	if err := syscall.Exec(path, spec.Argv, spec.Env); err != nil {
		return fail(fmt.Errorf("exec %s: %w", path, err))
	}
	return nil
}

// lookPath finds the command as a container runtime does: with the container's own PATH.
func lookPath(argv, env []string, dir string) (string, error) {
	if len(argv) == 0 {
		return "", fmt.Errorf("no command: neither the container nor its image names one")
	}
	if strings.Contains(argv[0], "/") {
		path := argv[0]
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("exec: %w", err)
		}
		return path, nil
	}
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			os.Setenv("PATH", value)
		}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return "", fmt.Errorf("exec: %w", err)
	}
	return path, nil
}

// namespaces sets what the init step's process is started with.
func namespaces(mode Mode, attributes *syscall.SysProcAttr) {
	switch mode {
	case ModeMount:
		attributes.Cloneflags = syscall.CLONE_NEWNS
	case ModeUserMount:
		attributes.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER
		uid, gid, size := os.Getuid(), os.Getgid(), 1
		if uid == 0 {
			size = 65536
			attributes.GidMappingsEnableSetgroups = true
		}
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: size}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: size}}
		// An exec as another user than root drops the new namespace's rights but for these.
		attributes.AmbientCaps = []uintptr{capSysAdmin, capSysChroot}
	}
}

// enterRoot makes the new root directory, mounts the volumes and moves into it.
func enterRoot(spec *Spec) error {
	if err := syscall.Mount("", "/", "", unsharedMountFlags, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	root := filepath.Join(spec.Dir, RootDir)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("tmpfs for the root directory: %w", err)
	}
	// Else binding the directory that holds it would bind the new root into itself.
	if err := syscall.Mount("", root, "", syscall.MS_UNBINDABLE, ""); err != nil {
		return fmt.Errorf("unbindable root directory: %w", err)
	}
	syscall.Umask(0)
	enter := enterHost
	if spec.ImageRoot != "" {
		enter = enterImage
	}
	if err := enter(spec, root); err != nil {
		return err
	}
	if err := syscall.Chroot(root); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

// enterHost shows the host's files at root and mounts the volumes.
func enterHost(spec *Spec, root string) error {
	fs := realFS{}
	mounts := make([]Mount, len(spec.Mounts))
	for i, m := range spec.Mounts {
		m.Path = resolve(fs, m.Path)
		mounts[i] = m
	}
	outer, inner := outermost(mounts)
	targets := make([]target, len(outer))
	for i, m := range outer {
		info, err := os.Stat(m.HostPath)
		if err != nil {
			return fmt.Errorf("volume for %s: %w", m.Path, err)
		}
		targets[i] = target{path: m.Path, isDir: info.IsDir()}
	}
	for _, a := range planRoot(fs, targets) {
		if err := a.do(root); err != nil && a.must {
			return err
		}
	}
	if spec.ReadOnlyRoot {
		readOnly(root)
	}
	for _, m := range append(outer, inner...) {
		if err := bindVolume(root, m); err != nil {
			return err
		}
	}
	return nil
}

func (a action) do(root string) error {
	path := filepath.Join(root, a.path)
	switch a.kind {
	case makeDir:
		if err := os.Mkdir(path, a.mode.Perm()); err != nil {
			return err
		}
		return os.Chmod(path, a.mode)
	case makeFile:
		return os.WriteFile(path, nil, 0o644)
	case makeLink:
		return os.Symlink(a.source, path)
	default:
		if err := syscall.Mount(a.source, path, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return fmt.Errorf("binding %s: %w", a.source, err)
		}
		return nil
	}
}

// makeMountPoint makes what a volume is mounted on, if it is not there: a directory, or an empty file.
func makeMountPoint(root string, m Mount) error {
	path := filepath.Join(root, m.Path)
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	info, err := os.Stat(m.HostPath)
	if err != nil {
		return fmt.Errorf("volume for %s: %w", m.Path, err)
	}
	if info.IsDir() {
		err = os.MkdirAll(path, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
		err = os.WriteFile(path, nil, 0o644)
	}
	if err != nil {
		return fmt.Errorf("mount point %s: %w", m.Path, err)
	}
	return nil
}

// bindVolume mounts a volume at its path; a mount point inside another volume is made there, as runtimes do.
func bindVolume(root string, m Mount) error {
	path := filepath.Join(root, m.Path)
	if err := makeMountPoint(root, m); err != nil {
		return err
	}
	if err := syscall.Mount(m.HostPath, path, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", m.Path, err)
	}
	if m.ReadOnly {
		if errno := setReadOnly(path, 0); errno != 0 {
			return fmt.Errorf("mounting %s read-only: %w", m.Path, errno)
		}
	}
	return nil
}

// readOnly makes what the container sees of the host read-only, but for devices and the kernel's own file systems.
// Kernels before 5.12 can't: there the root directory stays writable.
func readOnly(root string) {
	entries, _ := os.ReadDir(root)
	for _, entry := range entries {
		switch name := entry.Name(); name {
		case "proc", "sys", "dev":
		default:
			if entry.IsDir() {
				setReadOnly(filepath.Join(root, name), atRecursive)
			}
		}
	}
	setReadOnly(root, 0)
}

func setReadOnly(path string, flags uintptr) syscall.Errno {
	attributes := struct{ set, clear, propagation, userns uint64 }{set: mountAttrReadOnly}
	name, err := syscall.BytePtrFromString(path)
	if err != nil {
		return syscall.EINVAL
	}
	const here = ^uintptr(99) // AT_FDCWD
	_, _, errno := syscall.RawSyscall6(sysMountSetattr, here, uintptr(unsafe.Pointer(name)), flags,
		uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes), 0)
	return errno
}

// becomeUser drops root for the container's user. With ReadAll the process keeps the right to read whatever root can:
// the toolchain of a checkout often lies in a home directory that only root may enter.
func becomeUser(spec *Spec) error {
	clearAmbient()
	if os.Getuid() != 0 {
		return dropCapabilities()
	}
	groups := make([]uint32, len(spec.Groups))
	for i, group := range spec.Groups {
		groups[i] = uint32(group)
	}
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 {
		return fmt.Errorf("setgroups: %w", errno)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETGID, uintptr(spec.GID), 0, 0); errno != 0 {
		return fmt.Errorf("setgid %d: %w", spec.GID, errno)
	}
	if spec.UID == 0 {
		return nil
	}
	keep := spec.ReadAll
	if keep {
		prctl(prSetKeepCaps, 1)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETUID, uintptr(spec.UID), 0, 0); errno != 0 {
		return fmt.Errorf("setuid %d: %w", spec.UID, errno)
	}
	if keep {
		keepReadSearch()
	}
	return nil
}

type capabilityData struct{ effective, permitted, inheritable uint32 }

// capset sets the calling thread's capabilities: the one that is going to exec.
func capset(mask uint32) syscall.Errno {
	header := struct {
		version uint32
		pid     int32
	}{version: capabilityVersion}
	data := [2]capabilityData{{mask, mask, mask}, {}}
	_, _, errno := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0)
	return errno
}

func clearAmbient() {
	syscall.RawSyscall6(syscall.SYS_PRCTL, prCapAmbient, capAmbientClear, 0, 0, 0, 0)
}

func dropCapabilities() error {
	if errno := capset(0); errno != 0 {
		return fmt.Errorf("dropping capabilities: %w", errno)
	}
	return nil
}

// keepReadSearch keeps the reading right, or the reading-and-writing one in containers whose root has only that.
func keepReadSearch() {
	for _, capability := range []uintptr{capDacReadSearch, capDacOverride} {
		if capset(1<<capability) != 0 {
			continue
		}
		syscall.RawSyscall6(syscall.SYS_PRCTL, prCapAmbient, capAmbientRaise, capability, 0, 0, 0)
		return
	}
}
