// Package http2 tests skein's HTTP/2 towards clients with the real binary: frame by frame with a client that can be rude, and
// with honest ones.
package http2

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"skein/test/corpus"
	"skein/test/harness"
)

// client speaks HTTP/2 frame by frame.
type client struct {
	t      testing.TB
	c      net.Conn
	fr     *http2.Framer
	block  bytes.Buffer
	enc    *hpack.Encoder
	dec    *hpack.Decoder
	next   uint32
	goaway *http2.GoAwayFrame
	pings  int
}

// dial connects over TLS; addr is the port of an https listener, with a self-signed certificate.
func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: "h", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	if p := c.ConnectionState().NegotiatedProtocol; p != "h2" {
		t.Fatalf("protocol = %q, want h2", p)
	}
	return over(t, c)
}

// over begins HTTP/2 on a connection.
func over(t testing.TB, c net.Conn, settings ...http2.Setting) *client {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(harness.Patience))
	cl := &client{t: t, c: c, fr: http2.NewFramer(c, c), next: 1}
	cl.fr.AllowIllegalWrites = true
	cl.enc = hpack.NewEncoder(&cl.block)
	cl.dec = hpack.NewDecoder(4096, nil)
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := cl.fr.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return cl
}

// answer is what came of one stream.
type answer struct {
	status   string
	interims []string
	fields   []hpack.HeaderField
	body     []byte
	trailers []hpack.HeaderField
	reset    bool
	code     http2.ErrCode
	ended    bool
}

func (a *answer) field(name string) string {
	for _, f := range a.fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// request sends a header block and returns its stream.
func (c *client) request(lines []corpus.Line, end bool) uint32 {
	c.t.Helper()
	id := c.next
	c.next += 2
	if err := c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(lines), EndHeaders: true, EndStream: end}); err != nil {
		c.t.Fatal(err)
	}
	return id
}

func (c *client) encode(lines []corpus.Line) []byte {
	c.block.Reset()
	for _, l := range lines {
		if err := c.enc.WriteField(hpack.HeaderField{Name: l.Name, Value: l.Value}); err != nil {
			c.t.Fatal(err)
		}
	}
	return c.block.Bytes()
}

func (c *client) data(id uint32, p string, end bool) {
	c.t.Helper()
	if err := c.fr.WriteData(id, end, []byte(p)); err != nil {
		c.t.Fatal(err)
	}
}

// get asks for a path, with more fields as "name: value".
func (c *client) get(path string, more ...string) uint32 {
	lines := []corpus.Line{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "h"}, {Name: ":path", Value: path}}
	for _, m := range more {
		name, value, _ := strings.Cut(m, ": ")
		lines = append(lines, corpus.Line{Name: name, Value: value})
	}
	return c.request(lines, true)
}

var errGone = errors.New("the connection ended")

// wait reads frames until the stream has ended.
func (c *client) wait(id uint32) (*answer, error) {
	return c.until(id, func(a *answer) bool { return a.ended || a.reset })
}

// until reads frames until done says so of the stream, and answers settings and pings, and returns what is read of bodies to
// the windows.
func (c *client) until(id uint32, done func(*answer) bool) (*answer, error) {
	a := &answer{}
	for !done(a) {
		f, err := c.fr.ReadFrame()
		if err != nil {
			return a, fmt.Errorf("%w: %w", errGone, err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.fr.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if f.IsAck() {
				c.pings++
			} else {
				_ = c.fr.WritePing(true, f.Data)
			}
		case *http2.GoAwayFrame:
			g := *f
			c.goaway = &g
		case *http2.HeadersFrame:
			c.head(a, id, f)
		case *http2.DataFrame:
			if n := len(f.Data()); n > 0 {
				_ = c.fr.WriteWindowUpdate(0, uint32(n))
				if !f.StreamEnded() {
					_ = c.fr.WriteWindowUpdate(f.StreamID, uint32(n))
				}
			}
			if f.StreamID == id {
				a.body = append(a.body, f.Data()...)
				a.ended = f.StreamEnded()
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				a.reset, a.code = true, f.ErrCode
			}
		}
	}
	return a, nil
}

// head takes a header block; the decoder's table needs those of other streams too.
func (c *client) head(a *answer, id uint32, f *http2.HeadersFrame) {
	c.t.Helper()
	if !f.HeadersEnded() {
		c.t.Fatal("a header block in several frames")
	}
	fields, err := c.dec.DecodeFull(f.HeaderBlockFragment())
	if err != nil {
		c.t.Fatalf("decode header block: %v", err)
	}
	if f.StreamID != id {
		return
	}
	switch {
	case a.status != "":
		a.trailers = fields
	case fields[0].Value[0] == '1':
		a.interims = append(a.interims, fields[0].Value)
		return
	default:
		a.status, a.fields = fields[0].Value, fields[1:]
	}
	a.ended = f.StreamEnded()
	for _, f := range fields {
		if f.Name != strings.ToLower(f.Name) || slices.Contains([]string{"connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection"}, f.Name) {
			c.t.Errorf("answer with the field %q", f.Name)
		}
	}
}

// must is wait for an answer that has to be whole.
func (c *client) must(id uint32, status string) *answer {
	c.t.Helper()
	a, err := c.wait(id)
	if err != nil || !a.ended || a.status != status {
		c.t.Fatalf("stream %d: status %q, ended %v, reset %v (%v), %v; want a whole %s", id, a.status, a.ended, a.reset, a.code, err, status)
	}
	return a
}
