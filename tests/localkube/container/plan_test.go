package container

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hostTree is a host's file system below a directory of the test's own.
type hostTree string

func (h hostTree) Lstat(path string) (os.FileInfo, error) {
	return os.Lstat(filepath.Join(string(h), path))
}
func (h hostTree) ReadDir(path string) ([]os.DirEntry, error) {
	return os.ReadDir(filepath.Join(string(h), path))
}
func (h hostTree) Readlink(path string) (string, error) {
	return os.Readlink(filepath.Join(string(h), path))
}

func newHost(t *testing.T) hostTree {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"etc/ssl", "run/lock", "var", "tmp", "data-old"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"etc/hosts", "etc/passwd"} {
		if err := os.WriteFile(filepath.Join(root, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"var/run": "/run", "bin": "usr/bin", "var/loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return hostTree(root)
}

func TestResolveFollowsTheHostsLinks(t *testing.T) {
	host := newHost(t)
	for path, want := range map[string]string{
		"/var/run/secrets/token": "/run/secrets/token",
		"/bin/sh":                "/usr/bin/sh",
		"/data":                  "/data",
		"/etc/../etc//ssl/":      "/etc/ssl",
		"/var/loop/x":            "/var/loop/x",
	} {
		if got := resolve(host, path); got != want {
			t.Errorf("resolve(%q) = %q, want %q", path, got, want)
		}
	}
}

func render(actions []action) []string {
	var lines []string
	for _, a := range actions {
		name := map[actionKind]string{makeDir: "dir", makeFile: "file", makeLink: "link", bindHost: "bind"}[a.kind]
		lines = append(lines, name+" "+a.path)
	}
	return lines
}

func TestPlanMakesMountPointsWithoutTouchingTheHost(t *testing.T) {
	host := newHost(t)
	before := listing(t, string(host))
	lines := render(planRoot(host, []target{{"/data", true}, {"/etc/connector/key", true}, {"/etc/hosts", false}, {"/tmp", true}}))
	for _, want := range []string{
		"dir /data", "dir /etc", "dir /etc/connector", "dir /etc/connector/key", "file /etc/passwd", "bind /etc/passwd",
		"bind /etc/ssl", "file /etc/hosts", "dir /tmp", "bind /run", "link /bin",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %q in %v", want, lines)
		}
	}
	for _, not := range []string{"bind /etc", "bind /tmp", "bind /etc/hosts"} {
		if slices.Contains(lines, not) {
			t.Errorf("%q in %v", not, lines)
		}
	}
	if after := listing(t, string(host)); after != before {
		t.Errorf("the host changed: %s", after)
	}
}

func TestPlanBindsADirectoryWholeWhenItsMountPointsExist(t *testing.T) {
	lines := render(planRoot(newHost(t), []target{{"/etc/hosts", false}, {"/etc/ssl", true}}))
	if !slices.Contains(lines, "bind /etc") || slices.Contains(lines, "bind /etc/passwd") {
		t.Errorf("%v", lines)
	}
}

func TestEveryDirectoryComesBeforeWhatIsInIt(t *testing.T) {
	lines := render(planRoot(newHost(t), []target{{"/a/b/c", true}, {"/a/d", false}, {"/etc/x/y", true}}))
	made := map[string]bool{"/": true}
	for _, line := range lines {
		kind, path, _ := strings.Cut(line, " ")
		if !made[filepath.Dir(path)] {
			t.Errorf("%s before its directory", line)
		}
		made[path] = made[path] || kind != "bind"
	}
}

func TestOutermostMounts(t *testing.T) {
	outer, inner := outermost([]Mount{{Path: "/data/inner"}, {Path: "/data"}, {Path: "/data2"}, {Path: "/data/inner/x"}})
	if len(outer) != 2 || len(inner) != 2 || inner[0].Path != "/data/inner" {
		t.Errorf("outer %v, inner %v", outer, inner)
	}
}

func listing(t *testing.T, root string) string {
	t.Helper()
	var names []string
	if err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}
