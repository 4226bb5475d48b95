package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFormatLog(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	const head = "2026-01-02T03:04:05.000000006Z stdout "
	long := strings.Repeat("x", maxLogLine)
	for name, c := range map[string]struct {
		text, lines, rest string
		end               bool
	}{
		"whole lines":       {text: "a\n\nb\n", lines: head + "F a\n" + head + "F \n" + head + "F b\n"},
		"an unfinished one": {text: "a\nb", lines: head + "F a\n", rest: "b"},
		"at the end":        {text: "b", lines: head + "P b\n", end: true},
		"a long one":        {text: long + "y\n", lines: head + "P " + long + "\n" + head + "F y\n"},
		"as long as can be": {text: long + "\n", lines: head + "F " + long + "\n"},
		"a long part":       {text: long, lines: head + "P " + long + "\n"},
		"nothing":           {},
	} {
		lines, rest := formatLog(now, "stdout", []byte(c.text), c.end)
		if string(lines) != c.lines || string(rest) != c.rest {
			t.Errorf("%s: lines %.80q, rest %.80q", name, lines, rest)
		}
	}
}

func TestLogWriterGoesOnInANewFileAfterRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log := &logWriter{path: path}
	if err := log.reopen(); err != nil {
		t.Fatal(err)
	}
	log.copyFrom("stdout", strings.NewReader("one\n"))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := log.reopen(); err != nil {
		t.Fatal(err)
	}
	log.copyFrom("stderr", strings.NewReader("two"))
	for name, want := range map[string]string{path + ".1": "stdout F one\n", path: "stderr P two\n"} {
		data, err := os.ReadFile(name)
		if err != nil || !strings.HasSuffix(string(data), want) {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}
