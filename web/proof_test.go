package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// What is full is busy, and not dead.
func TestFullPoolServes(t *testing.T) {
	arrived, goOn := make(chan struct{}, 1), make(chan struct{})
	slow := origin(t, func(c net.Conn, r *bufio.Reader) {
		if _, _, err := head(r); err == nil {
			arrived <- struct{}{}
			<-goOn
		}
	})
	for name, more := range map[string]string{"no queue": "queue = 0", "a queue": "queue_timeout = \"1m\""} {
		t.Run(name, func(t *testing.T) {
			s := serveFile(t, false, fmt.Sprintf(`
pool "p" {
  servers   = [%q]
  max_conns = 1
  %s
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, slow, more))
			c, _ := s.dialBy("127.0.0.1")
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			<-arrived
			s.wants("full", "", "127.0.0.1")
			goOn <- struct{}{}
		})
	}
	close(goOn)
}

// A member that accepts and never answers is no member; but that visitors' members answer meanwhile is proof enough. Nobody is
// blamed for our impatience.
func TestServingHungMember(t *testing.T) {
	silent := origin(t, func(_ net.Conn, r *bufio.Reader) {
		for {
			line, _, err := head(r)
			if err != nil || strings.Contains(line, "/health") {
				break
			}
		}
		_, _ = io.Copy(io.Discard, r)
	})
	s := serveFile(t, false, fmt.Sprintf(`
pool "p" {
  servers = [%q]
  check {
    http = "/health"
  }
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, silent))
	began := time.Now()
	s.wants("hung", `pool "p": member `+silent+`: no answer in time`, "127.0.0.1")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if n := s.reports.failure.Load(); n != 0 {
		t.Errorf("the member was blamed %d times", n)
	}
	s.balanced()

	// A short question gets a verdict all the same.
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	s.probes.proofs.mu.Lock()
	clear(s.probes.proofs.of)
	s.probes.proofs.mu.Unlock()
	if err := s.Serving(ctx, addresses("127.0.0.1")); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("asked in a hurry: %v", err)
	}

	// Visitors are answered while the proof waits.
	done := make(chan error, 1)
	s.probes.proofs.mu.Lock()
	clear(s.probes.proofs.of)
	s.probes.proofs.mu.Unlock()
	go func() { done <- s.serving("127.0.0.1") }()
	for s.set.Pools()[0].Members()[0].Active() == 0 {
		pause()
	}
	s.set.Pools()[0].Members()[0].Stats.Answers[2].Add(1)
	if err := <-done; err != nil {
		t.Errorf("busy: %v", err)
	}
	s.balanced()
}

// A connection that rests proves nothing: the network to the member may lose everything by now, and the connection does not know.
func TestServingRestingConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() }) // it stays open
		}
	}()
	s := serveFile(t, false, fmt.Sprintf(`
pool "p" {
  servers = [%q]
}
http "site" {
  listen = "0.0.0.0:0"
  pool   = pool.p
}`, l.Addr()))
	s.wants("reached", "", "127.0.0.1")
	l.Close()
	s.probes.proofs.mu.Lock()
	clear(s.probes.proofs.of)
	s.probes.proofs.mu.Unlock()
	if err := s.serving("127.0.0.1"); err == nil || !strings.Contains(err.Error(), "connect: connection refused") {
		t.Errorf("out of reach: %v", err)
	}
	s.balanced()
}
