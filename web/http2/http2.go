// Package http2 is the server half of HTTP/2 (RFC 9113): frames, streams and flow control over a connection that somebody else
// accepted. It turns every request into a [Stream] and calls a handler with it; header blocks of answers are made with
// [AppendStatus] and [AppendField].
//
// Start at [NewConn] and [Conn.Serve], then [Stream]. One goroutine reads frames (read.go, frames.go), handlers run on pooled
// goroutines (workers.go), and whatever streams want to say is collected in one buffer, which one goroutine at a time writes
// (out.go). All state of a connection stands under one mutex: frames are short, and what is rarely waited for is cheap.
//
// It is strict: a request that could be read differently by somebody behind us is reset, not repaired (fields.go). It bounds
// what a client can cost in memory, by windows and limits, and in time, by glitches (glitch.go). It does not push, does not
// prioritise, keeps no HPACK table for what it sends, and knows nothing of routing or of TLS.
package http2

import (
	"fmt"
	"time"

	"skein/web/message"
)

// Transport is the client's connection.
type Transport interface {
	Read(p []byte) (int, error)
	// Write writes all of p and waits as long as the peer makes progress. One goroutine at a time calls it.
	Write(p []byte) (int, error)
	// Arm sets the deadline of everything to d from now; 0 is none. It reports false if it has expired already.
	Arm(d time.Duration) bool
	// Abort ends all waiting. Any goroutine may call it.
	Abort()
}

// Config is what connections have in common. It must not change while any of them is served.
type Config struct {
	MaxStreams int // open at a time, and handlers that work at a time whatever was reset (SETTINGS_MAX_CONCURRENT_STREAMS)
	MaxHeader  int // bytes of a header list as RFC 9113 section 6.5.2 counts them (SETTINGS_MAX_HEADER_LIST_SIZE)
	MaxFields  int // field lines of a request
	Glitches   int // offences until the connection is closed with ENHANCE_YOUR_CALM; see glitch.go

	Idle   time.Duration // without an open stream; 0 is for ever
	Header time.Duration // for the preface and SETTINGS, and for a header block from its first frame to its last; 0 is for ever
	Stall  time.Duration // a stream whose answer waits for the client's window that long is reset; 0 is for ever

	ExtendedConnect bool     // announce and take RFC 8441
	Stats           *Stats   // never nil
	Workers         *Workers // runs the handlers; nil gives each connection its own
}

// Field is one field line. It is valid until the handler returns.
type Field = message.Field

// Request is a request that has passed all rules of RFC 9113 section 8 that a server can check.
type Request = message.Request

// bounds are those of a field list.
func (c *Config) bounds() message.Bounds {
	return message.Bounds{Size: c.MaxHeader, Fields: c.MaxFields}
}

// Error codes (RFC 9113 section 7), for [Stream.Reset].
const (
	CodeNo uint32 = iota
	CodeProtocol
	CodeInternal
	CodeFlowControl
	CodeSettingsTimeout
	CodeStreamClosed
	CodeFrameSize
	CodeRefused
	CodeCancel
	CodeCompression
	CodeConnect
	CodeCalm
	CodeInadequateSecurity
	CodeHTTP11Required
)

// Frame types and flags (RFC 9113 section 6). Every frame begins with nine bytes:
//
//	length (24) | type (8) | flags (8) | reserved (1), stream (31)
const (
	typeData         = 0x0
	typeHeaders      = 0x1
	typePriority     = 0x2
	typeReset        = 0x3
	typeSettings     = 0x4
	typePushPromise  = 0x5
	typePing         = 0x6
	typeGoAway       = 0x7
	typeWindowUpdate = 0x8
	typeContinuation = 0x9

	flagEnd        = 0x1 // END_STREAM
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	headSize = 9
	preface  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// Settings (RFC 9113 section 6.5.2, RFC 8441 section 3).
const (
	settingTableSize       = 0x1
	settingPush            = 0x2
	settingMaxStreams      = 0x3
	settingWindow          = 0x4
	settingMaxFrame        = 0x5
	settingMaxHeader       = 0x6
	settingExtendedConnect = 0x8
)

const (
	maxFrame      = 16 << 10  // payload of frames: the smallest maximum that anybody may set, and ours both ways
	maxWindow     = 1<<31 - 1 // RFC 9113 section 6.9.1
	defaultWindow = 65535
	streamWindow  = 256 << 10 // what a client may send on one stream before it is read
	connWindow    = 1 << 20   // and on all of them: it bounds the unread bytes of a connection
)

// StreamError says why a stream ended early.
type StreamError struct {
	Stream uint32
	Code   uint32
	Reason string
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("http2: stream %d: %s (%s)", e.Stream, e.Reason, codeName(e.Code))
}

// ConnError says why we ended a connection. The client was told the code in a GOAWAY.
type ConnError struct {
	Code   uint32
	Reason string
}

func (e *ConnError) Error() string { return fmt.Sprintf("http2: %s (%s)", e.Reason, codeName(e.Code)) }

func codeName(code uint32) string {
	names := [...]string{
		"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
		"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
	}
	if code < uint32(len(names)) {
		return names[code]
	}
	return fmt.Sprintf("code %d", code)
}

func protocolError(reason string) error { return &ConnError{CodeProtocol, reason} }
