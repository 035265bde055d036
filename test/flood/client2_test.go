package flood

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"skein/test/harness"
)

// attacker2 speaks HTTP/2 as it likes. What it writes is collected: thousands of frames leave in one piece.
type attacker2 struct {
	t     *testing.T
	c     net.Conn
	w     *bufio.Writer
	fr    *http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
	over  time.Time

	mu     sync.Mutex // guards what follows
	frames map[http2.FrameType]int
	calm   string        // the code of the GOAWAY
	ended  chan struct{} // the connection has
	heads  chan uint32   // streams whose answer began; those that nobody waits for are dropped
}

// attack2 connects over TLS. deaf never reads.
func (s *site) attack2(t *testing.T, deaf bool, settings ...http2.Setting) *attacker2 {
	t.Helper()
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: harness.Patience}, Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
	c, err := d.DialContext(t.Context(), "tcp", s.secure)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	a := &attacker2{t: t, c: c, w: bufio.NewWriterSize(c, 64<<10), over: time.Now().Add(attackTime), frames: map[http2.FrameType]int{}, ended: make(chan struct{}), heads: make(chan uint32, 1000)}
	_ = c.SetDeadline(a.over.Add(harness.Patience))
	a.fr = http2.NewFramer(a.w, c)
	a.fr.AllowIllegalWrites = true
	a.fr.SetReuseFrames()
	a.enc = hpack.NewEncoder(&a.block)
	_, _ = a.w.WriteString(http2.ClientPreface)
	_ = a.fr.WriteSettings(settings...)
	a.send()
	if !deaf {
		go a.read()
	}
	return a
}

func (a *attacker2) read() {
	defer close(a.ended)
	for {
		f, err := a.fr.ReadFrame()
		if err != nil {
			return
		}
		a.mu.Lock()
		a.frames[f.Header().Type]++
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			a.calm = f.ErrCode.String()
		case *http2.HeadersFrame:
			select {
			case a.heads <- f.StreamID:
			default:
			}
		}
		a.mu.Unlock()
	}
}

// send lets leave what was written; false once the connection has ended or the time is up.
func (a *attacker2) send() bool {
	return a.w.Flush() == nil && time.Now().Before(a.over)
}

// repeat calls f, which writes one item of an attack, n times, unless the connection ends before.
func (a *attacker2) repeat(n int, f func(i int) error) {
	for i := range n {
		if f(i) != nil || i%64 == 63 && !a.send() {
			return
		}
		select {
		case <-a.ended:
			return
		default:
		}
	}
	a.send()
}

// head encodes a request; more is "name: value".
func (a *attacker2) head(method, path string, more ...string) []byte {
	a.block.Reset()
	put := func(name, value string) { _ = a.enc.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	put(":method", method)
	put(":scheme", "https")
	put(":authority", host)
	put(":path", path)
	for _, m := range more {
		name, value, _ := strings.Cut(m, ": ")
		put(name, value)
	}
	return a.block.Bytes()
}

// get opens the i-th stream.
func (a *attacker2) get(i int, path string, more ...string) error {
	return a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: a.head("GET", path, more...), EndHeaders: true, EndStream: true})
}

func (a *attacker2) post(i int, path string, more ...string) error {
	return a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: a.head("POST", path, more...), EndHeaders: true})
}

// id is the number of a client's i-th stream.
func id(i int) uint32 { return uint32(2*i + 1) }

// raw writes a frame of any kind.
func (a *attacker2) raw(typ, flags byte, stream uint32, payload []byte) error {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), typ, flags}
	_, err := a.w.Write(append(binary.BigEndian.AppendUint32(b, stream), payload...))
	return err
}

// cutWith waits for the end of the connection, and says with which words it was cut: the code of the GOAWAY, "closed" without
// one, "open" if it was not.
func (a *attacker2) cutWith() string {
	select {
	case <-a.ended:
	case <-time.After(harness.Patience):
		return "open"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.calm == "" {
		return "closed"
	}
	return a.calm
}
