package container

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// action is one step towards a container's root directory. Paths are inside the new root, without its prefix.
type action struct {
	kind   actionKind
	path   string
	source string      // bind: path on the host; link: what it points to
	mode   os.FileMode // dir
	must   bool        // a failure is the container's failure
}

type actionKind int

const (
	makeDir  actionKind = iota // a directory in the new root
	makeFile                   // an empty file to mount on
	makeLink                   // a symbolic link
	bindHost                   // what the host has at the same path
)

// hostFS is the part of a file system that planning looks at.
type hostFS interface {
	Lstat(path string) (os.FileInfo, error)
	ReadDir(path string) ([]os.DirEntry, error)
	Readlink(path string) (string, error)
}

type realFS struct{}

func (realFS) Lstat(path string) (os.FileInfo, error)     { return os.Lstat(path) }
func (realFS) ReadDir(path string) ([]os.DirEntry, error) { return os.ReadDir(path) }
func (realFS) Readlink(path string) (string, error)       { return os.Readlink(path) }

// target is a place in the new root where a volume is going to be mounted.
type target struct {
	path  string
	isDir bool
}

// node is one path component that leads to a target.
type node struct {
	children map[string]*node
	target   *target
}

// planRoot plans a root directory that shows the host's files and has a mount point for each target, without creating
// anything on the host: a directory that lacks a mount point is made anew in the root, and each of its entries is
// bound into it. Targets must be resolved (see resolve) and must not lie below one another.
func planRoot(fs hostFS, targets []target) []action {
	root := &node{children: map[string]*node{}}
	for i := range targets {
		current := root
		for _, name := range split(targets[i].path) {
			next := current.children[name]
			if next == nil {
				next = &node{children: map[string]*node{}}
				current.children[name] = next
			}
			current = next
		}
		current.target = &targets[i]
	}
	return planDir(fs, "/", root)
}

func planDir(fs hostFS, dir string, n *node) []action {
	var actions []action
	seen := map[string]bool{}
	entries, _ := fs.ReadDir(dir)
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if child := n.children[entry.Name()]; child != nil {
			seen[entry.Name()] = true
			actions = append(actions, planChild(fs, path, child, true)...)
			continue
		}
		switch {
		case entry.Type()&os.ModeSymlink != 0:
			if link, err := fs.Readlink(path); err == nil {
				actions = append(actions, action{kind: makeLink, path: path, source: link})
			}
		case entry.IsDir():
			actions = append(actions, action{kind: makeDir, path: path, mode: 0o755}, action{kind: bindHost, path: path, source: path})
		default:
			actions = append(actions, action{kind: makeFile, path: path}, action{kind: bindHost, path: path, source: path})
		}
	}
	for _, name := range sortedKeys(n.children) {
		if !seen[name] {
			actions = append(actions, planChild(fs, filepath.Join(dir, name), n.children[name], false)...)
		}
	}
	return actions
}

// planChild plans what leads to a target: the mount point itself, or a directory on the way to it.
func planChild(fs hostFS, path string, n *node, exists bool) []action {
	if n.target != nil {
		if n.target.isDir {
			return []action{{kind: makeDir, path: path, mode: 0o755, must: true}}
		}
		return []action{{kind: makeFile, path: path, must: true}}
	}
	mode := os.FileMode(0o755)
	if info, err := fs.Lstat(path); exists && err == nil {
		mode = info.Mode().Perm() | info.Mode()&os.ModeSticky
	}
	if exists && allMountable(fs, path, n) {
		return []action{{kind: makeDir, path: path, mode: mode}, {kind: bindHost, path: path, source: path, must: true}}
	}
	return append([]action{{kind: makeDir, path: path, mode: mode, must: true}}, planDir(fs, path, n)...)
}

// allMountable says whether every target below dir has a mount point on the host already.
func allMountable(fs hostFS, dir string, n *node) bool {
	for name, child := range n.children {
		path := filepath.Join(dir, name)
		info, err := fs.Lstat(path)
		if err != nil || info.Mode()&os.ModeSymlink != 0 {
			return false
		}
		if child.target != nil && child.target.isDir != info.IsDir() {
			return false
		}
		if child.target == nil && !allMountable(fs, path, child) {
			return false
		}
	}
	return true
}

// resolve follows the host's symbolic links in the directories that lead to path; what does not exist stays as it is.
func resolve(fs hostFS, path string) string {
	done := "/"
	rest := split(path)
	for links := 0; len(rest) > 0; {
		next := filepath.Join(done, rest[0])
		info, err := fs.Lstat(next)
		if err == nil && info.Mode()&os.ModeSymlink != 0 && links < 40 {
			links++
			if link, err := fs.Readlink(next); err == nil {
				if !filepath.IsAbs(link) {
					link = filepath.Join(done, link)
				}
				done, rest = "/", append(split(link), rest[1:]...)
				continue
			}
		}
		done = next
		rest = rest[1:]
	}
	return done
}

// outermost splits mounts into those that need a mount point of the root and those that lie inside an earlier one.
func outermost(mounts []Mount) (outer, inner []Mount) {
	sorted := append([]Mount(nil), mounts...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Path < sorted[j].Path })
	for _, m := range sorted {
		if len(outer) > 0 && isBelow(m.Path, outer[len(outer)-1].Path) {
			inner = append(inner, m)
			continue
		}
		outer = append(outer, m)
	}
	return outer, inner
}

func isBelow(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func split(path string) []string {
	var parts []string
	for _, part := range strings.Split(filepath.Clean(path), "/") {
		if part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	return parts
}

func sortedKeys(m map[string]*node) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
