// Package kmsgparser stands in for github.com/euank/go-kmsg-parser (go.mod replaces it).
//
// The kubelet opens /dev/kmsg to report kernel OOM kills as node events, and dies where that is not allowed: as an
// ordinary user, and in most containers. A node of local processes has no such events to tell, so this parser, of the
// same shape, opens nothing and never has a message.
package kmsgparser

import "time"

// Message is one record of the kernel's ring buffer.
type Message struct {
	Priority       int
	SequenceNumber int
	Timestamp      time.Time
	Message        string
}

// Logger receives what a parser has to complain of.
type Logger interface {
	Infof(string, ...interface{})
	Warningf(string, ...interface{})
	Errorf(string, ...interface{})
}

// Parser reads records; this one has none.
type Parser interface {
	SeekEnd() error
	Parse() <-chan Message
	SetLogger(Logger)
	Close() error
}

type silent struct{}

// NewParser returns a parser whose channel stays empty.
func NewParser() (Parser, error) { return silent{}, nil }

func (silent) SeekEnd() error        { return nil }
func (silent) SetLogger(Logger)      {}
func (silent) Close() error          { return nil }
func (silent) Parse() <-chan Message { return make(chan Message) }
