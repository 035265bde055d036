package http2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// raw is a client that can do what no honest one does. Its frames are made and read by golang.org/x/net/http2.
type raw struct {
	t   testing.TB
	nc  net.Conn
	fr  *http2.Framer
	buf bytes.Buffer
	enc *hpack.Encoder
	dec *hpack.Decoder
	got []string // of the header blocks
}

// dial greets a server over TCP.
func dial(t testing.TB, s *server, settings ...http2.Setting) *raw {
	t.Helper()
	r := plain(t, s)
	r.greet(settings...)
	return r
}

// plain is a client that has not greeted.
func plain(t testing.TB, s *server) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	return newRaw(t, nc)
}

func newRaw(t testing.TB, nc net.Conn) *raw {
	r := &raw{t: t, nc: nc, fr: http2.NewFramer(nc, nc)}
	r.fr.AllowIllegalWrites = true
	r.enc = hpack.NewEncoder(&r.buf)
	r.dec = hpack.NewDecoder(4096, func(f hpack.HeaderField) { r.got = append(r.got, f.Name+": "+f.Value) })
	return r
}

func (r *raw) greet(settings ...http2.Setting) {
	r.t.Helper()
	r.bytes([]byte(http2.ClientPreface))
	r.ok(r.fr.WriteSettings(settings...))
}

func (r *raw) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *raw) bytes(b []byte) {
	r.t.Helper()
	_, err := r.nc.Write(b)
	r.ok(err)
}

// encode makes a header block of "name: value" lines.
func (r *raw) encode(fields ...string) []byte {
	r.buf.Reset()
	for _, f := range fields {
		i := strings.Index(f[1:], ":") + 1
		_ = r.enc.WriteField(hpack.HeaderField{Name: f[:i], Value: strings.TrimPrefix(f[i+1:], " ")})
	}
	return r.buf.Bytes()
}

func get(more ...string) []string {
	return append([]string{":method: GET", ":scheme: http", ":path: /", ":authority: example.com"}, more...)
}

func post(more ...string) []string {
	return append([]string{":method: POST", ":scheme: http", ":path: /", ":authority: example.com"}, more...)
}

func (r *raw) headers(id uint32, end bool, fields ...string) {
	r.t.Helper()
	r.ok(r.try(id, end, fields...))
}

func (r *raw) try(id uint32, end bool, fields ...string) error {
	return r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.encode(fields...), EndStream: end, EndHeaders: true})
}

// next describes the next frame that is not of our own making: SETTINGS, its acknowledgement, and the first WINDOW_UPDATE of
// the connection are left out.
func (r *raw) next() string {
	for {
		f, err := r.fr.ReadFrame()
		if err != nil {
			var ne net.Error
			switch {
			case errors.As(err, &ne) && ne.Timeout():
				return "timeout"
			case err == io.EOF:
				return "end"
			}
			return "error: " + err.Error()
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			continue
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 && f.Increment == connWindow-defaultWindow {
				continue
			}
			return fmt.Sprintf("window %d %d", f.StreamID, f.Increment)
		case *http2.HeadersFrame:
			r.got = nil
			_, err := r.dec.Write(f.HeaderBlockFragment())
			for more := f.HeadersEnded(); !more && err == nil; {
				var g http2.Frame
				if g, err = r.fr.ReadFrame(); err == nil {
					k := g.(*http2.ContinuationFrame)
					_, err = r.dec.Write(k.HeaderBlockFragment())
					more = k.HeadersEnded()
				}
			}
			if err == nil {
				err = r.dec.Close()
			}
			if err != nil {
				return "error: " + err.Error()
			}
			return fmt.Sprintf("headers %d [%s]%s", f.StreamID, strings.Join(r.got, ", "), ended(f.StreamEnded()))
		case *http2.DataFrame:
			d := string(f.Data())
			if len(d) > 20 {
				d = fmt.Sprintf("(%d bytes)", len(d))
			}
			return fmt.Sprintf("data %d %s%s", f.StreamID, d, ended(f.StreamEnded()))
		case *http2.RSTStreamFrame:
			return fmt.Sprintf("reset %d %v", f.StreamID, f.ErrCode)
		case *http2.GoAwayFrame:
			return fmt.Sprintf("goaway %d %v", f.LastStreamID, f.ErrCode)
		case *http2.PingFrame:
			if f.IsAck() {
				return "pong " + string(f.Data[:])
			}
			return "ping " + string(f.Data[:])
		default:
			return f.Header().String()
		}
	}
}

func ended(yes bool) string {
	if yes {
		return " end"
	}
	return ""
}

// want reads frames and compares them. The end of a body may come in a frame of its own: it depends on who wrote when.
func (r *raw) want(frames ...string) {
	r.t.Helper()
	for _, w := range frames {
		g := r.next()
		if strings.HasPrefix(g, "data") && g != w && g+" end" == w {
			end := r.next()
			if id := strings.Fields(g)[1]; end == "data "+id+"  end" {
				g = w
			}
		}
		if g != w {
			r.t.Fatalf("got frame %q, want %q", g, w)
		}
	}
}

// until reads frames until one of them begins so, and returns it; a test that waits for it in vain fails.
func (r *raw) until(prefix string) string {
	r.t.Helper()
	for {
		g := r.next()
		if strings.HasPrefix(g, prefix) {
			return g
		}
		if g == "end" || g == "timeout" || strings.HasPrefix(g, "error") || strings.HasPrefix(g, "goaway") {
			r.t.Fatalf("got frame %q, want %q", g, prefix)
		}
	}
}

// answered is what hello answers.
func answered(id uint32) []string {
	return []string{
		fmt.Sprintf("headers %d [:status: 200, content-type: text/plain, content-length: 6]", id),
		fmt.Sprintf("data %d hello\n end", id),
	}
}
