// Package http3 is the server half of HTTP/3 (RFC 9114) over QUIC connections that somebody else accepted: frames, control
// streams and header blocks. It turns every request into a [Stream] and calls a handler with it; header blocks of answers are
// made with [AppendStatus] and [AppendField]. It is shaped like package http2, so that who knows one can read the other.
//
// Start at [NewConn] and [Conn.Serve], then [Stream]. QUIC (quic-go) does packets, loss, flow control and the order of
// streams; decoding of QPACK is its sister library's. Its own HTTP/3 server is not used, because it makes a [net/http.Request]
// of what came: the order of fields, second fields of one name and resets are not to be had behind that, and rules that a
// proxy must keep would rest on what a map happens to show.
//
// It is strict: a request that could be read differently by somebody behind us is reset, not repaired (fields.go). It bounds
// what a client can cost in memory, by flow control and limits, and in time, by deadlines and glitches (glitch.go). It does
// not push, keeps no QPACK table, and knows nothing of routing or of TLS.
package http3

import (
	"fmt"
	"time"

	"github.com/quic-go/quic-go"

	"skein/web/message"
)

// Config is what connections have in common. It must not change while any of them is served.
type Config struct {
	MaxHeader int // bytes of a field section as RFC 9114 section 4.2.2 counts them (SETTINGS_MAX_FIELD_SECTION_SIZE)
	MaxFields int // field lines of a request
	Glitches  int // offences until the connection is closed with H3_EXCESSIVE_LOAD; see glitch.go

	Idle   time.Duration // without an open stream; 0 is for ever
	Header time.Duration // for the client's SETTINGS, and for the head of a request; 0 is for ever
	Body   time.Duration // for each piece of a body, and for each piece of an answer to be taken; 0 is for ever

	ExtendedConnect bool   // announce and take RFC 9220
	Stats           *Stats // never nil
	Buffers         *Buffers
	Workers         *Workers
}

// Field is one field line. It is valid until the handler returns.
type Field = message.Field

// Request is a request that has passed all rules of RFC 9114 section 4 that a server can check.
type Request = message.Request

// bounds are those of a field list.
func (c *Config) bounds() message.Bounds {
	return message.Bounds{Size: c.MaxHeader, Fields: c.MaxFields}
}

// Error codes (RFC 9114 section 8.1, RFC 9204 section 6).
const (
	CodeNo                   uint64 = 0x100
	CodeGeneralProtocol      uint64 = 0x101
	CodeInternal             uint64 = 0x102
	CodeStreamCreation       uint64 = 0x103
	CodeClosedCriticalStream uint64 = 0x104
	CodeFrameUnexpected      uint64 = 0x105
	CodeFrame                uint64 = 0x106
	CodeExcessiveLoad        uint64 = 0x107
	CodeID                   uint64 = 0x108
	CodeSettings             uint64 = 0x109
	CodeMissingSettings      uint64 = 0x10a
	CodeRequestRejected      uint64 = 0x10b
	CodeRequestCancelled     uint64 = 0x10c
	CodeRequestIncomplete    uint64 = 0x10d
	CodeMessage              uint64 = 0x10e
	CodeConnect              uint64 = 0x10f
	CodeVersionFallback      uint64 = 0x110

	codeDecompression uint64 = 0x200
	codeEncoder       uint64 = 0x201
	codeDecoder       uint64 = 0x202
)

// Frame types (RFC 9114 section 7.2, RFC 9218 section 7). Every frame begins with two variable-length integers:
//
//	type | length of what follows
const (
	typeData           = 0x0
	typeHeaders        = 0x1
	typeCancelPush     = 0x3
	typeSettings       = 0x4
	typePushPromise    = 0x5
	typeGoAway         = 0x7
	typeMaxPushID      = 0xd
	typePriorityUpdate = 0xf0700
	typePriorityPush   = 0xf0701
)

// ofHTTP2 says that a type means something in HTTP/2 and nothing in HTTP/3: one that sends it has mixed them up (section
// 7.2.8).
func ofHTTP2(typ uint64) bool { return typ == 0x2 || typ == 0x6 || typ == 0x8 || typ == 0x9 }

// Types of unidirectional streams (RFC 9114 section 6.2, RFC 9204 section 4.2).
const (
	streamControl = 0x0
	streamPush    = 0x1
	streamEncoder = 0x2
	streamDecoder = 0x3
)

// Settings (RFC 9114 section 7.2.4.1, RFC 9220 section 3).
const (
	settingMaxFieldSection = 0x6
	settingExtendedConnect = 0x8
)

// StreamError says why a stream ended early.
type StreamError struct {
	Code   uint64
	Reason string
}

func (e *StreamError) Error() string { return fmt.Sprintf("http3: %s (%#x)", e.Reason, e.Code) }

// ConnError says why we ended a connection. The client was told.
type ConnError struct {
	Code   uint64
	Reason string
}

func (e *ConnError) Error() string {
	return fmt.Sprintf("http3: connection: %s (%#x)", e.Reason, e.Code)
}

// malformed is a request that breaks a rule of section 4.
func malformed(reason string) error { return &StreamError{CodeMessage, reason} }

func unexpected(reason string) error { return &ConnError{CodeFrameUnexpected, reason} }

// maxStreamID is what GOAWAY names while no request is refused yet (RFC 9114 section 5.2): the largest request stream there
// can be.
const maxStreamID quic.StreamID = 1<<62 - 4
