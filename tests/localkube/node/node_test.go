package node

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"apperate.io/localkube/container"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestTranslatePaths(t *testing.T) {
	mounts := []container.Mount{
		{Path: "/data", HostPath: "/h/d"}, {Path: "/data/inner", HostPath: "/h/i"}, {Path: "/etc/connector", HostPath: "/h/c"},
	}
	for text, want := range map[string]string{
		"/data":                       "/h/d",
		"/data/x.db":                  "/h/d/x.db",
		"/data/inner/y":               "/h/i/y",
		"/database":                   "/database",
		"/my/data":                    "/my/data",
		"sqlite:////data/x.db?a=1":    "sqlite:////h/d/x.db?a=1",
		"--file=/etc/connector/a":     "--file=/h/c/a",
		"/data:/etc/connector:/other": "/h/d:/h/c:/other",
		`{"path": "/data"}`:           `{"path": "/h/d"}`,
		"":                            "",
		"/data-old /data.old":         "/data-old /data.old",
	} {
		if got := translatePaths(text, mounts); got != want {
			t.Errorf("%q became %q, not %q", text, got, want)
		}
	}
}

func TestWithBaseKeepsACheckoutInSight(t *testing.T) {
	volume := container.Mount{Path: "/tmp", HostPath: "/h/t"}
	for base, want := range map[string]int{"/tmp/checkout": 2, "/tmp": 1, "/tmpfs/x": 1, "/srv/x": 1, "": 1} {
		mounts := withBase([]container.Mount{volume}, base)
		if len(mounts) != want {
			t.Errorf("%q: %+v", base, mounts)
		}
		if want == 2 && translatePaths("/tmp/checkout/bin /tmp/x", mounts) != "/tmp/checkout/bin /h/t/x" {
			t.Errorf("%q: %+v", base, mounts)
		}
	}
}

func TestEnvironmentLaterWins(t *testing.T) {
	got := environment([]string{"A=1", "B=2"}, []string{"B=3=3"}, []string{"C=", "A=4"})
	if !slices.Equal(got, []string{"A=4", "B=3=3", "C="}) {
		t.Error(got)
	}
}

func TestCommandOfFollowsEntrypointAndCmd(t *testing.T) {
	image := Image{Command: []string{"prefix"}, Args: []string{"default"}}
	for want, given := range map[string][2][]string{
		"prefix default": {nil, nil},
		"prefix own":     {nil, {"own"}},
		"other":          {{"other"}, nil},
		"other own":      {{"other"}, {"own"}},
	} {
		if got := strings.Join(commandOf(image, given[0], given[1]), " "); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	if image.Command[0] != "prefix" || len(image.Command) != 1 {
		t.Error("the image was changed")
	}
}

func TestParseMapping(t *testing.T) {
	mapping, err := ParseMapping([]byte(`
base: ..
images:
  a:dev: {command: [bin/run, bin/arg], workingDir: w, user: 7, env: {X: "1"}}
  host:5000/b: {command: [python]}
`), "/project/tests")
	if err != nil {
		t.Fatal(err)
	}
	a, b := mapping.Images["a:dev"], mapping.Images["host:5000/b:latest"]
	if !slices.Equal(a.Command, []string{"/project/bin/run", "bin/arg"}) || a.WorkingDir != "/project/w" || *a.User != 7 {
		t.Errorf("%+v", a)
	}
	if !slices.Equal(b.Command, []string{"python"}) {
		t.Errorf("%+v", b)
	}
	for _, name := range []string{"a:dev", "host:5000/b", "host:5000/b:latest", imageID("a:dev")} {
		if _, _, ok := mapping.lookup(name); !ok {
			t.Errorf("%s was not found", name)
		}
	}
	if _, _, ok := mapping.lookup("a"); ok {
		t.Error("a tag that is not mapped was found")
	}
	for _, bad := range []string{"images: []", "imags: {}", "images: {a: {comand: [x]}}", "{"} {
		if _, err := ParseMapping([]byte(bad), "/"); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestImageStoreReadsAgainAndNamesWhatIsMapped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "images.yaml")
	write := func(text string, age time.Duration) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	store := &imageStore{path: func() string { return path }}
	write("images: {a: {command: [x]}}", time.Hour)
	if _, err := store.find("b"); err == nil || !strings.Contains(err.Error(), "a:latest") {
		t.Error(err)
	}
	write("images: {b: {command: [other]}}", time.Minute)
	if image, err := store.find("b"); err != nil || image.Command[0] != "other" {
		t.Error(image, err)
	}
	write("images: {", 0)
	if _, err := store.find("b"); err == nil || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}

func TestAddressesAreNotGivenTwice(t *testing.T) {
	r := &Runtime{network: 77, sandboxes: map[string]*sandbox{}, nextIP: 1}
	seen := map[string]bool{}
	for i := range 1000 {
		ip, err := r.freeIP()
		if err != nil || seen[ip] || !strings.HasPrefix(ip, "127.77.") {
			t.Fatalf("%d: %s %v", i, ip, err)
		}
		seen[ip] = true
		r.sandboxes[ip] = &sandbox{IP: ip}
	}
}

func TestRuntimeFindsWhatAnEarlierOneLeft(t *testing.T) {
	options := Options{Dir: t.TempDir(), Network: 77, Images: func() string { return "" }}
	first, err := NewRuntime(options)
	if err != nil {
		t.Fatal(err)
	}
	config := &runtimeapi.PodSandboxConfig{
		Metadata: &runtimeapi.PodSandboxMetadata{Name: "p", Uid: "u"}, LogDirectory: t.TempDir(), Labels: map[string]string{"a": "b"},
	}
	id, err := first.RunPodSandbox(t.Context(), config, "")
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(options.Dir, "containers", "half-made")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	second, err := NewRuntime(options)
	if err != nil {
		t.Fatal(err)
	}
	found, err := second.PodSandboxStatus(t.Context(), id, false)
	if err != nil || found.Status.Metadata.Name != "p" || found.Status.Labels["a"] != "b" {
		t.Errorf("%v %v", found, err)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Error("a half-made container is still there")
	}
	if ip, _ := second.freeIP(); ip == found.Status.Network.Ip {
		t.Error("the address was given again")
	}
}

func TestForgetUsers(t *testing.T) {
	pod := podWithUsers()
	forgetUsers(pod)
	if pod.Spec.SecurityContext.RunAsUser != nil || pod.Spec.Containers[0].SecurityContext.RunAsUser != nil {
		t.Errorf("%+v", pod.Spec)
	}
	if pod.Spec.SecurityContext.RunAsNonRoot == nil {
		t.Error("what an ordinary user can honour was forgotten too")
	}
}
