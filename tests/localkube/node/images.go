package node

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

// Image says which local processes stand for a container image.
type Image struct {
	// Command is what runs, before a container's args; a container's own command replaces it (as with ENTRYPOINT).
	Command []string `json:"command,omitempty"`
	// Args are used when the container names neither command nor args (as with CMD).
	Args []string `json:"args,omitempty"`
	// Env is set before the container's own variables.
	Env map[string]string `json:"env,omitempty"`
	// User is the uid that the image runs as; only obeyed when the cluster runs as root.
	User *int64 `json:"user,omitempty"`
	// WorkingDir is where the command starts; relative to the mapping's base.
	WorkingDir string `json:"workingDir,omitempty"`
	// ReadAll (default true) lets the process read what only root can, when it runs as another user.
	ReadAll *bool `json:"readAll,omitempty"`
	// Root is a directory with the files of a real image: they are what the process sees, in place of the host's. It is
	// never written to; relative to the mapping's base.
	Root string `json:"root,omitempty"`
	// Base is the mapping's; what lies there stays visible where a volume is mounted above it.
	Base string `json:"-"`
}

// Mapping is the file that `localkube up --images` takes, as YAML or JSON.
type Mapping struct {
	// Base is what relative paths start from; default: the directory of the file.
	Base   string           `json:"base,omitempty"`
	Images map[string]Image `json:"images"`
}

// ParseMapping reads a mapping; dir is where its file lies.
func ParseMapping(data []byte, dir string) (Mapping, error) {
	var mapping Mapping
	if err := yaml.UnmarshalStrict(data, &mapping); err != nil {
		return Mapping{}, err
	}
	if !filepath.IsAbs(mapping.Base) {
		mapping.Base = filepath.Join(dir, mapping.Base)
	}
	images := make(map[string]Image, len(mapping.Images))
	for name, image := range mapping.Images {
		if image.Root != "" {
			image.Root = filepath.Clean(joinIfRelative(mapping.Base, image.Root))
		} else if len(image.Command) > 0 {
			image.Command = append([]string{absolute(mapping.Base, image.Command[0])}, image.Command[1:]...)
		}
		if image.WorkingDir != "" {
			image.WorkingDir = filepath.Clean(joinIfRelative(mapping.Base, image.WorkingDir))
		}
		image.Base = mapping.Base
		images[withTag(name)] = image
	}
	mapping.Images = images
	return mapping, nil
}

// absolute leaves names without a slash alone: they are looked up in the container's PATH.
func absolute(base, command string) string {
	if !strings.Contains(command, "/") {
		return command
	}
	return joinIfRelative(base, command)
}

func joinIfRelative(base, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// withTag adds the tag that an image without one has.
func withTag(image string) string {
	if strings.Contains(image, "@") {
		return image
	}
	if name := image[strings.LastIndexByte(image, '/')+1:]; strings.Contains(name, ":") {
		return image
	}
	return image + ":latest"
}

// lookup finds an image by its name or its ID.
func (m Mapping) lookup(name string) (string, Image, bool) {
	if image, ok := m.Images[withTag(name)]; ok {
		return withTag(name), image, true
	}
	for known, image := range m.Images {
		if imageID(known) == name {
			return known, image, true
		}
	}
	return "", Image{}, false
}

// imageStore looks images up in a mapping file, which is read again when it has changed.
type imageStore struct {
	path func() string // may change while the node runs

	mutex   sync.Mutex
	stamp   string
	mapping Mapping
	err     error
}

// find returns an image, or an error that says what is mapped.
func (s *imageStore) find(name string) (Image, error) {
	mapping, path, err := s.load()
	if err != nil {
		return Image{}, err
	}
	if _, image, ok := mapping.lookup(name); ok {
		return image, nil
	}
	if path == "" {
		return Image{}, fmt.Errorf("no image is mapped to local processes: start the cluster with --images FILE")
	}
	return Image{}, fmt.Errorf("image %q is not in %s, which maps: %s", name, path, strings.Join(s.names(mapping), ", "))
}

func (s *imageStore) names(mapping Mapping) []string {
	names := make([]string, 0, len(mapping.Images))
	for name := range mapping.Images {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (s *imageStore) load() (Mapping, string, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	path := s.path()
	if path == "" {
		return Mapping{}, "", nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return Mapping{}, path, fmt.Errorf("image mapping: %w", err)
	}
	stamp := fmt.Sprint(path, info.ModTime().UnixNano(), info.Size())
	if stamp != s.stamp {
		data, err := os.ReadFile(path)
		if err != nil {
			return Mapping{}, path, fmt.Errorf("image mapping: %w", err)
		}
		s.mapping, s.err = ParseMapping(data, filepath.Dir(path))
		s.stamp = stamp
	}
	if s.err != nil {
		return Mapping{}, path, fmt.Errorf("image mapping %s: %w", path, s.err)
	}
	return s.mapping, path, nil
}
