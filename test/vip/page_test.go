package vip

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"skein/test/lab"
)

const (
	downloadParts = 50
	downloadEvery = 100 * time.Millisecond
)

// pages are those of the web servers:
//
//	/          "hello"
//	/slow      an answer after a second
//	/download  5 s long, a part every 100 ms
//	/socket    a WebSocket that says back what it hears
func pages() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	m.HandleFunc("/slow", slow)
	m.HandleFunc("/download", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(downloadParts*1000))
		for range downloadParts {
			w.Write(make([]byte, 1000))
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(downloadEvery):
			}
		}
	})
	m.HandleFunc("/socket", echo)
	return m
}

// echo is a WebSocket (RFC 6455) as far as a balancer sees one: after the handshake bytes go to and fro.
func echo(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	c, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	io.Copy(c, buf)
}

// get fetches a page from a host on a connection of its own, with TLS on port 443. (net/http's client goes on to dial after it has
// given up.)
func get(h *lab.Host, port int, path string, within time.Duration) (body string, code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", fmt.Sprintf("%s:%d", address, port))
	if err != nil {
		return "", 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(within))
	if port == 443 {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "site.example"})
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n", path); err != nil {
		return "", 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), resp.StatusCode, err
}

// socket is a visitor's WebSocket.
type socket struct {
	c net.Conn
	r *bufio.Reader
}

// openSocket opens one.
func openSocket(h *lab.Host) (*socket, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", address+":80")
	if err != nil {
		return nil, err
	}
	s := &socket{c, bufio.NewReader(c)}
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET /socket HTTP/1.1\r\nHost: site\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	resp, err := http.ReadResponse(s.r, nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// lasts says something every 50 ms and returns when nothing comes back any more, at the latest after the given time, when it
// is an error.
func (s *socket) lasts(within time.Duration) (end time.Time, err error) {
	defer s.c.Close()
	b := make([]byte, 5)
	for until := time.Now().Add(within); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		s.c.SetDeadline(time.Now().Add(time.Second))
		if _, err := s.c.Write([]byte("hello")); err != nil {
			return time.Now(), nil
		}
		if _, err := io.ReadFull(s.r, b); err != nil {
			return time.Now(), nil
		}
	}
	return time.Now(), errors.New("it has not ended")
}

// secureVisitor asks for a page over TLS again and again, on new connections.
type secureVisitor struct {
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex // guards the rest
	asked  int
	failed []string
}

// secure begins to ask, every 50 ms.
func secure(h *lab.Host, wait time.Duration) *secureVisitor {
	ctx, stop := context.WithCancel(context.Background())
	v := &secureVisitor{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(v.done)
		var wg sync.WaitGroup
		defer wg.Wait()
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			wg.Go(func() {
				began := time.Now()
				body, code, err := get(h, 443, "/", wait)
				if err == nil && (code != http.StatusOK || body != "hello") {
					err = fmt.Errorf("status %d, %q", code, body)
				}
				v.mu.Lock()
				defer v.mu.Unlock()
				v.asked++
				if err != nil {
					v.failed = append(v.failed, fmt.Sprintf("%s: %v", began.Format("15:04:05.000"), err))
				}
			})
		}
	}()
	return v
}

// end ends the visits and returns how many there were, and what went wrong.
func (v *secureVisitor) end() (asked int, failed []string) {
	v.stop()
	<-v.done
	return v.asked, v.failed
}
