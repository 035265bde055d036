package site

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// socket is a WebSocket connection as far as a balancer can tell: an upgrade, and bytes both ways.
type socket struct{ *harness.Conn }

func open(t *testing.T, addr string) *socket {
	t.Helper()
	c := harness.Raw(t, addr)
	c.Send("GET /socket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if a := c.Answer("GET"); a.Status != 101 {
		t.Fatalf("answer to the upgrade = %d", a.Status)
	}
	return &socket{c}
}

// echo sends and expects the same back.
func (s *socket) echo(text string) {
	s.Send(text)
	s.Expect(text)
}

// echoes is an origin that speaks WebSocket in this sense.
func echoes(t *testing.T) *harness.Recorder {
	return harness.Origin(t, func(p *harness.Peer) {
		if p.Next() == nil {
			return
		}
		p.Send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(p.TCPConn, p.TCPConn)
	})
}

// A hundred reloads while visitors come: none of them sees anything, no connection of theirs is closed, and open WebSocket
// connections to a member that stays go on.
func TestReloads(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sockets := echoes(t)
	file := func(n int) string {
		// On a busy machine php takes its time, and nobody sends a POST twice.
		return strings.Replace(s.config(n, "  route \"/socket\" {\n    pool = pool.socket\n  }\n"), `first_byte = "1s"`, `first_byte = "20s"`, 1) +
			fmt.Sprintf("pool \"socket\" {\n  servers = [%q]\n}\n", sockets.Addr)
	}
	s.Reload(file(0))
	warm(t, s)
	before := s.Usage()
	var open1 []*socket
	for range 10 {
		open1 = append(open1, open(t, s.addr))
	}
	l := harness.Visit(t, s.addr, visitors, good, pages...)
	l.More(50)
	for n := range harness.Count(30, 100, 10_000) {
		s.Reload(file(n + 1))
		l.More(3)
		open1[n%len(open1)].echo(fmt.Sprint("reload ", n))
	}
	l.Good("reloads")
	if n := l.Lost.Load(); n != 0 {
		t.Errorf("skein closed %d connections, after the answers %q", n, l.Closes())
	}
	// The other pool of the file has gone, its server as well; these connections have nothing to do with it.
	s.Reload(strings.ReplaceAll(file(1), "server.two, ", ""))
	l.More(20)
	for i, c := range open1 {
		c.echo(fmt.Sprint("after all ", i))
		c.Close()
	}
	if n := len(sockets.Peers()); n != len(open1) {
		t.Errorf("the origin saw %d connections for %d WebSockets", n, len(open1))
	}
	l.End()
	l.Good("the last reload")
	s.Reload(file(0))
	settles(t, s, before)
}

// SIGTERM behind a restart: what has begun is finished, what waits is told to go, nothing hangs.
func TestRestart(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	origin := harness.Origin(t, func(p *harness.Peer) {
		for r := p.Next(); r != nil; r = p.Next() {
			if r.URL.Path == "/slow" {
				arrived <- struct{}{}
				<-release
			}
			if !p.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone") {
				return
			}
		}
	})
	addr := harness.FreeAddr(t)
	file := fmt.Sprintf("http \"site\" {\n  listen  = %q\n  servers = [%q]\n}\n", addr, origin.Addr)
	first := harness.Start(t, file)
	var busy, idle []*harness.Conn
	for range 20 {
		c := harness.Raw(t, addr)
		c.Send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
		<-arrived
		busy = append(busy, c)
		c = harness.Raw(t, addr)
		c.Get("/")
		idle = append(idle, c)
	}
	first.Signal(syscall.SIGTERM)
	for _, c := range idle {
		c.Closed()
	}
	// The address is free at once for the next one, while the first still works.
	var second *harness.Skein
	harness.Eventually(t, harness.Patience, "the listener is closed", func() bool {
		_, err := harness.TryFetch(addr, "/")
		return err != nil
	})
	second = harness.Start(t, file)
	if a := harness.Fetch(t, addr, "/"); a.Status != 200 {
		t.Errorf("answer of the second = %d", a.Status)
	}
	close(release)
	for _, c := range busy {
		a := c.Answer("GET")
		if a.Status != 200 || a.Body != "done" || !a.Close {
			t.Errorf("answer = %d %q, close %v; want 200 done, and to be told that the connection ends", a.Status, a.Body, a.Close)
		}
		c.Closed()
	}
	first.Stopped(15 * time.Second)
	second.Stop()
}

// Under load a restart costs only requests of that moment: the answers that came are whole, and skein ends with code 0 at once.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	for range harness.Count(1, 3, 100) {
		s := newSite(t)
		l := harness.Visit(t, s.addr, visitors, good, pages...)
		l.More(50)
		l.Good("before the stop")
		s.Stop()
		l.End()
		for _, f := range l.Failures() {
			if strings.Contains(f, harness.ErrBegun.Error()) {
				t.Errorf("an answer was cut: %s", f)
			}
			if strings.Contains(f, "status") {
				t.Errorf("a visitor was refused instead of sent away: %s", f)
			}
		}
	}
}
