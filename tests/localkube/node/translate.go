package node

import (
	"sort"
	"strings"

	"apperate.io/localkube/container"
)

// translatePaths replaces the paths of mounts by where they lie on the host, in a text such as an argument: without
// mount namespaces this is how a process finds its volumes. A path counts where it begins like one and ends at a
// slash, at the end, or before a character that cannot go on a file name.
func translatePaths(text string, mounts []container.Mount) string {
	sorted := append([]container.Mount(nil), mounts...)
	sort.SliceStable(sorted, func(i, j int) bool { return len(sorted[i].Path) > len(sorted[j].Path) })
	var out strings.Builder
	for i := 0; i < len(text); {
		if m := mountAt(text, i, sorted); m != nil {
			out.WriteString(m.HostPath)
			i += len(m.Path)
			continue
		}
		out.WriteByte(text[i])
		i++
	}
	return out.String()
}

func mountAt(text string, i int, mounts []container.Mount) *container.Mount {
	if text[i] != '/' || i > 0 && isName(text[i-1]) {
		return nil
	}
	for j := range mounts {
		rest, ok := strings.CutPrefix(text[i:], mounts[j].Path)
		if ok && (rest == "" || !isName(rest[0])) {
			return &mounts[j]
		}
	}
	return nil
}

func isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// environment puts a container's variables together: the defaults, the image's, the container's own; later ones win.
// Nothing of the node's environment is in it.
func environment(sets ...[]string) []string {
	var names []string
	values := map[string]string{}
	for _, set := range sets {
		for _, variable := range set {
			name, value, _ := strings.Cut(variable, "=")
			if _, ok := values[name]; !ok {
				names = append(names, name)
			}
			values[name] = value
		}
	}
	env := make([]string, len(names))
	for i, name := range names {
		env[i] = name + "=" + values[name]
	}
	return env
}

// commandOf is the command line of a container, by the rules of ENTRYPOINT and CMD.
func commandOf(image Image, command, args []string) []string {
	switch {
	case len(command) > 0:
		return append(append([]string(nil), command...), args...)
	case len(args) > 0:
		return append(append([]string(nil), image.Command...), args...)
	default:
		return append(append([]string(nil), image.Command...), image.Args...)
	}
}
