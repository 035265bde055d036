package http2

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// wire makes a Transport of a net.Conn. Each write has stall to make progress in.
type wire struct {
	net.Conn
	stall   time.Duration
	mu      sync.Mutex // guards the deadline against an Abort
	aborted bool
}

func (w *wire) Write(p []byte) (sent int, err error) {
	for sent < len(p) {
		if w.stall > 0 {
			w.mu.Lock()
			if !w.aborted {
				_ = w.SetWriteDeadline(time.Now().Add(w.stall))
			}
			w.mu.Unlock()
		}
		n, err := w.Conn.Write(p[sent:min(len(p), sent+16<<10)])
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func (w *wire) Arm(d time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.aborted {
		return false
	}
	at := time.Time{}
	if d > 0 {
		at = time.Now().Add(d)
	}
	return w.SetDeadline(at) == nil
}

func (w *wire) Abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aborted = true
	_ = w.SetDeadline(time.Unix(1, 0))
}

// server serves connections of a listener until the test ends.
type server struct {
	addr  string
	cfg   *Config
	ended chan error // of Serve
}

func config(change ...func(*Config)) *Config {
	c := &Config{
		MaxStreams: 100, MaxHeader: 64 << 10, MaxFields: 100, Glitches: 100, Idle: 10 * time.Second, Header: 5 * time.Second,
		Stall: 10 * time.Second, ExtendedConnect: true, Stats: new(Stats),
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func serve(t testing.TB, secure *tls.Config, c *Config, handle func(*Stream)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: ln.Addr().String(), cfg: c, ended: make(chan error, 1000)}
	if c.Workers == nil {
		c.Workers = NewWorkers(256)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			if secure != nil {
				nc = tls.Server(nc, secure)
			}
			mu.Lock()
			open[nc] = true
			mu.Unlock()
			wg.Go(func() {
				s.ended <- NewConn(&wire{Conn: nc, stall: 2 * time.Second}, c, handle).Serve()
				linger(nc)
				mu.Lock()
				delete(open, nc)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for nc := range open {
			_ = nc.Close()
		}
		mu.Unlock()
		wg.Wait()
		c.Workers.Close()
	})
	return s
}

// linger closes so that the client can read the last words: a close with unread bytes would send a reset.
func linger(nc net.Conn) {
	_ = nc.SetDeadline(time.Now().Add(time.Second))
	if cw, ok := nc.(interface{ CloseWrite() error }); ok && cw.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, nc)
	}
	_ = nc.Close()
}

// hello answers every request with a few bytes, and reads its body.
func hello(s *Stream) {
	for s.Request().Length != 0 {
		if _, err := s.Next(); err != nil {
			if err != io.EOF {
				return
			}
			break
		}
	}
	var room [128]byte
	b := AppendStatus(room[:0], 200)
	b = AppendField(b, []byte("Content-Type"), []byte("text/plain"))
	b = AppendField(b, []byte("Content-Length"), []byte("6"))
	head := s.Request().Method == "HEAD"
	if s.Head(b, head) != nil || head {
		return
	}
	if s.Write([]byte("hello\n")) == nil {
		_ = s.End(nil)
	}
}
