package container

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"
)

// maxLogLine is where a line is cut into parts, as container runtimes do.
const maxLogLine = 16 * 1024

// logWriter writes the log format that kubelets read: "TIME STREAM F|P text".
type logWriter struct {
	path  string
	mutex sync.Mutex
	file  *os.File
}

// reopen opens the file anew, after it was rotated away.
func (w *logWriter) reopen() error {
	file, err := os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.file != nil {
		w.file.Close()
	}
	w.file = file
	return nil
}

func (w *logWriter) write(stream string, parts []byte) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.file != nil {
		w.file.Write(parts) //nolint:errcheck // a full disk must not stop the container
	}
}

// copyFrom copies a stream into the log until its end.
func (w *logWriter) copyFrom(stream string, reader io.Reader) {
	pending := make([]byte, 0, maxLogLine)
	chunk := make([]byte, 32*1024)
	for {
		n, err := reader.Read(chunk)
		if n > 0 {
			var lines []byte
			lines, pending = formatLog(time.Now(), stream, append(pending, chunk[:n]...), err != nil)
			w.write(stream, lines)
		}
		if err != nil {
			if len(pending) > 0 {
				lines, _ := formatLog(time.Now(), stream, pending, true)
				w.write(stream, lines)
			}
			return
		}
	}
}

// formatLog turns text into log lines and returns what is left of an unfinished one; at the end of the stream it is
// told as a part, so that no line end is made up.
func formatLog(now time.Time, stream string, text []byte, end bool) (lines, rest []byte) {
	head := now.UTC().Format(time.RFC3339Nano) + " " + stream + " "
	var out bytes.Buffer
	for len(text) > 0 {
		line, tag := text, "P "
		if i := bytes.IndexByte(text, '\n'); i >= 0 && i <= maxLogLine {
			line, text, tag = text[:i], text[i+1:], "F "
		} else if len(text) >= maxLogLine {
			line, text = text[:maxLogLine], text[maxLogLine:]
		} else if end {
			line, text = text, nil
		} else {
			break
		}
		out.WriteString(head)
		out.WriteString(tag)
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Bytes(), append([]byte(nil), text...)
}
