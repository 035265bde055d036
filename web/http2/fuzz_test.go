package http2

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// tape is a client that has said all it will say, and reads everything.
type tape struct {
	in      *bytes.Reader
	step    int
	mu      sync.Mutex // guards out
	out     bytes.Buffer
	aborted chan struct{}
	once    sync.Once
}

func (t *tape) Read(p []byte) (int, error) {
	select {
	case <-t.aborted:
		return 0, os.ErrDeadlineExceeded
	default:
	}
	runtime.Gosched() // handlers may be quicker
	return t.in.Read(p[:min(len(p), t.step)])
}

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.Write(p)
}

func (t *tape) Arm(time.Duration) bool { return true }

func (t *tape) Abort() { t.once.Do(func() { close(t.aborted) }) }

// Whatever a client sends: Serve returns, all its handlers have returned, what it sends is HTTP/2 by the reading of another
// implementation, no answer is given to streams that were not asked for, and requests keep the rules.
func FuzzServe(f *testing.F) {
	var seed bytes.Buffer
	fr := http2.NewFramer(&seed, nil)
	r := newRaw(f, nil)
	seed.WriteString(http2.ClientPreface)
	_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
	r.fr = fr
	r.headers(1, false, post("content-length: 3", "cookie: a", "cookie: b")...)
	_ = fr.WriteData(1, false, []byte("ab"))
	_ = fr.WriteWindowUpdate(1, 5)
	_ = fr.WritePing(false, [8]byte{})
	_ = fr.WriteDataPadded(1, false, []byte("c"), []byte{0})
	r.headers(1, true, "x: y")
	r.headers(3, true, get()...)
	_ = fr.WriteRSTStream(3, http2.ErrCodeCancel)
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: r.encode(get()...)[:2]})
	_ = fr.WriteContinuation(5, true, nil)
	_ = fr.WritePriority(7, http2.PriorityParam{})
	_ = fr.WriteGoAway(0, 0, nil)
	f.Add(seed.Bytes(), uint16(1000))
	f.Add(seed.Bytes(), uint16(0))
	f.Fuzz(func(t *testing.T, in []byte, step uint16) {
		cfg := config(func(c *Config) { c.MaxStreams, c.MaxHeader, c.Glitches = 5, 2000, 20 })
		tp := &tape{in: bytes.NewReader(in), step: int(step) + 1, aborted: make(chan struct{})}
		c := NewConn(tp, cfg, func(s *Stream) {
			check(t, s.Request())
			echo(s)
		})
		err := c.Serve()
		if c.running != 0 || c.busy != 0 || len(c.streams) != 0 {
			t.Errorf("after Serve: %d handlers, %d busy, %d streams", c.running, c.busy, len(c.streams))
		}
		if err == nil && c.fatal == nil && !c.ending {
			t.Error("Serve returned for no reason")
		}
		read(t, tp.out.Bytes(), c.seen)
	})
}

func check(t *testing.T, r *Request) {
	if r.Method == "" || len(r.Authority) == 0 {
		t.Errorf("request without method or authority: %q", r.Path)
	}
	if r.Path != nil && r.Path[0] != '/' && string(r.Path) != "*" {
		t.Errorf("path %q", r.Path)
	}
	for _, b := range [][]byte{[]byte(r.Method), r.Authority, r.Path} {
		if bytes.ContainsAny(b, " \t\r\n\x00") {
			t.Errorf("white space in %q", b)
		}
	}
	for _, f := range r.Fields {
		if len(f.Name) == 0 || bytes.ContainsAny(f.Name, ": \t\r\n\x00ABCDEFGHIJKLMNOPQRSTUVWXYZ") || bytes.ContainsAny(f.Value, "\r\n\x00") {
			t.Errorf("field %q: %q", f.Name, f.Value)
		}
	}
}

// read holds our frames against x/net's reader. The last one may be cut: writing ends when the client does.
func read(t *testing.T, out []byte, seen uint32) {
	fr := http2.NewFramer(nil, bytes.NewReader(out))
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	over := map[uint32]bool{}
	for {
		f, err := fr.ReadFrame()
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		if err != nil {
			t.Fatalf("our frames: %v", err)
		}
		id := f.Header().StreamID
		if id > seen || id != 0 && id&1 == 0 {
			t.Fatalf("%v on a stream that nobody asked for", f.Header())
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if over[id] {
				t.Fatalf("%v after the end of the stream", f.Header())
			}
			over[id] = f.StreamEnded()
		case *http2.DataFrame:
			if over[id] {
				t.Fatalf("%v after the end of the stream", f.Header())
			}
			over[id] = f.StreamEnded()
		case *http2.RSTStreamFrame:
			over[id] = true
		}
	}
}
