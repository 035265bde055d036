package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"skein/test/harness"
)

// closed waits for the end of a connection and returns its code.
func closed(t testing.TB, c *quic.Conn, within time.Duration) string {
	t.Helper()
	select {
	case <-c.Context().Done():
	case <-time.After(within):
		return "open"
	}
	var e *quic.ApplicationError
	if err := context.Cause(c.Context()); !errors.As(err, &e) || !e.Remote {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%#x", uint64(e.ErrorCode))
}

// Frames and streams where they must not be end the connection with the code that the RFC names.
func TestViolations(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	get := string(headers(request()))
	long := frame(1, "")
	long[len(long)-1] = 9 // nine bytes that do not come
	for _, test := range []struct {
		name      string
		other     []string // unidirectional streams
		fin       bool     // the first of them ends
		on        string   // on a request stream
		want      string
		wantReset string
	}{
		{name: "no settings", other: []string{"\x00\x07\x01\x00"}, want: "0x10a"},
		{name: "settings twice", other: []string{"\x00\x04\x00\x04\x00"}, want: "0x105"},
		{name: "data on control", other: []string{"\x00\x04\x00\x00\x01a"}, want: "0x105"},
		{name: "headers on control", other: []string{"\x00\x04\x00\x01\x01a"}, want: "0x105"},
		{name: "PING of HTTP/2", other: []string{"\x00\x04\x00\x06\x00"}, want: "0x105"},
		{name: "control ends", other: []string{"\x00\x04\x00"}, fin: true, want: "0x104"},
		{name: "control twice", other: []string{"\x00\x04\x00", "\x00\x04\x00"}, want: "0x103"},
		{name: "push", other: []string{"\x01"}, want: "0x103"},
		{name: "setting of HTTP/2", other: []string{"\x00\x04\x02\x03\x01"}, want: "0x109"},
		{name: "setting twice", other: []string{"\x00\x04\x04\x06\x01\x06\x01"}, want: "0x109"},
		{name: "long frame on control", other: []string{"\x00\x04\x00\x21\x80\x10\x00\x00"}, want: "0x107"},
		{name: "QPACK insert", other: []string{"\x00\x04\x00", "\x02\x3f\x01"}, want: "0x201"},
		{name: "QPACK encoder ends", other: []string{"\x02"}, fin: true, want: "0x104"},
		{name: "QPACK acknowledgement", other: []string{"\x03\x80"}, want: "0x202"},
		{name: "cancelled push", other: []string{"\x00\x04\x00\x03\x01\x00"}, want: "0x108"},
		{name: "priority of no request", other: []string{"\x00\x04\x00\x80\x0f\x07\x00\x01\x01"}, want: "0x108"},
		{name: "grease", other: []string{"\x00\x04\x00\x21\x01a", "\x21abc"}, on: "\x21\x01a" + get, want: "open"},
		{name: "data first", on: "\x00\x01a", want: "0x105"},
		{name: "settings on a request", on: "\x04\x00", want: "0x105"},
		{name: "settings in a request", on: get + "\x04\x00", want: "0x105"},
		{name: "PRIORITY of HTTP/2 on a request", on: "\x02\x00", want: "0x105"},
		{name: "cut in the middle", on: string(long), want: "0x106"},
		{name: "QPACK with a table", on: string(frame(1, "\x01\x00\xc0")), want: "0x200"},
		{name: "QPACK garbage", on: string(frame(1, "\x00\x00\xff\xff")), want: "0x200"},
		{name: "long unknown frame first", on: "\x21\x80\x10\x00\x00", want: "0x107"},
		{name: "long unknown frame behind the head", on: string(headers(post())) + "\x21\x80\x10\x00\x00", want: "0x107"},
		{name: "nothing", on: "\x21\x00", want: "open", wantReset: "0x10d"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.dial(t)
			for i, b := range test.other {
				u, err := c.OpenUniStream()
				if err != nil {
					t.Fatal(err)
				}
				u.Write([]byte(b))
				if test.fin && i == 0 {
					u.Close()
				}
			}
			wait := harness.Patience
			if test.want == "open" {
				wait = 200 * time.Millisecond
			}
			if test.on != "" {
				q, err := c.OpenStream()
				if err != nil {
					t.Fatal(err)
				}
				q.Write([]byte(test.on))
				q.Close()
				if test.want == "open" {
					got := verdict(q)
					if test.wantReset == "" && got != "200" || test.wantReset != "" && got != "reset with "+test.wantReset {
						t.Errorf("%s, want %s", got, test.wantReset)
					}
				}
			}
			if got := closed(t, c, wait); got != test.want {
				t.Errorf("the connection is %s, want %s", got, test.want)
			}
		})
	}
}

// Requests that are reset as soon as they are made (CVE-2023-44487) end the connection, and no more of them work at a time than
// streams are allowed.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	s := start(t, "  limits {\n    streams = 10\n  }\n", "")
	c := s.dial(t)
	settle(t, c)
	b := headers(request(line{":path", "/hang"}))
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	n := 0
	for ; c.Context().Err() == nil && ctx.Err() == nil; n++ {
		q, err := c.OpenStreamSync(ctx)
		if err != nil {
			break
		}
		q.Write(b)
		q.CancelRead(0x10c)
		q.CancelWrite(0x10c)
	}
	if got := closed(t, c, harness.Patience); got != "0x107" {
		t.Errorf("after %d resets the connection is %s, want 0x107", n, got)
	}
	harness.Eventually(t, harness.Patience, "nothing works for it", func() bool { return status(t, s).InFlight == 0 })
}

func TestFloods(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	for _, test := range []struct {
		name string
		do   func(c *quic.Conn) error
	}{
		{"unidirectional streams", func(c *quic.Conn) error {
			u, err := c.OpenUniStreamSync(c.Context())
			if err == nil {
				u.Write([]byte{0x21})
				err = u.Close()
			}
			return err
		}},
		{"malformed requests", func(c *quic.Conn) error {
			q, err := c.OpenStreamSync(c.Context())
			if err == nil {
				q.Write(headers(request(line{"connection", "close"})))
				q.Close()
				q.CancelRead(0x100)
			}
			return err
		}},
		{"large heads", func(c *quic.Conn) error {
			q, err := c.OpenStreamSync(c.Context())
			if err == nil {
				q.Write(headers(request(many(200)...)))
				q.Close()
				io.ReadAll(q)
			}
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.dial(t)
			settle(t, c)
			for range 3000 {
				if test.do(c) != nil {
					break
				}
			}
			if got := closed(t, c, harness.Patience); got != "0x107" {
				t.Errorf("the connection is %s, want 0x107", got)
			}
		})
	}
	t.Run("empty frames", func(t *testing.T) {
		c := s.dial(t)
		settle(t, c)
		q, err := c.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		q.Write(headers(post(line{":path", "/count"})))
		empty := strings.Repeat("\x00\x00", 500)
		for range 100 {
			if _, err := q.Write([]byte(empty)); err != nil {
				break
			}
		}
		if got := closed(t, c, harness.Patience); got != "0x107" {
			t.Errorf("the connection is %s, want 0x107", got)
		}
	})
}

// Clients that are slow, in whichever way, cost a stream at most.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := start(t, "  timeouts {\n    header = \"300ms\"\n    body = \"300ms\"\n  }\n", "")
	c := s.dial(t)
	settle(t, c)
	half, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	b := headers(request())
	half.Write(b[:len(b)-3])
	if got := verdict(half); got != "reset with 0x10c" {
		t.Errorf("half a head: %s", got)
	}
	body, _ := c.OpenStream()
	body.Write(headers(post(line{":path", "/count"}, line{"content-length", "100"})))
	body.Write(frame(0, "abc"))
	if got := verdict(body); got != "408" {
		t.Errorf("half a body: %s", got)
	}
	greedy, _ := c.OpenStream()
	greedy.Write(headers(request(line{":path", "/bytes?n=100000000"})))
	greedy.Close()
	harness.Eventually(t, harness.Patience, "the answer is given up", func() bool { n := status(t, s); return n.Requests >= 2 && n.InFlight == 0 })
	if got := closed(t, c, 0); got != "open" {
		t.Errorf("the connection is %s", got)
	}
}

func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	s := start(t, "  limits {\n    conns_per_client = 3\n  }\n", "")
	var open []*quic.Conn
	for range 3 {
		c := s.dial(t)
		settle(t, c)
		open = append(open, c)
	}
	harness.Eventually(t, harness.Patience, "three are open", func() bool { return status(t, s).Connections == 3 })
	if got := closed(t, s.dial(t), harness.Patience); got != "0x107" {
		t.Errorf("the fourth is %s, want 0x107", got)
	}
	if tcp, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: s.ca.roots, ServerName: host}); err == nil {
		tcp.Close()
		t.Error("a fourth over TCP was taken")
	}
	open[0].CloseWithError(0x100, "")
	harness.Eventually(t, harness.Patience, "one may come", func() bool { return status(t, s).Connections == 2 })
	get(t, s.client(), "/")
}

// Handshakes that are begun and left, from addresses that may be anybody's, make us ask others to show theirs; visitors get in.
func TestHalfOpenHandshakes(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	first := initial(t)
	sockets := make([]net.Conn, 300)
	for i := range sockets {
		c, err := net.Dial("udp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sockets[i] = c
		for _, p := range first() {
			c.Write(p)
		}
	}
	get(t, s.client(), "/")
	retries, sent, received := 0, 0, 0
	buf := make([]byte, 2000)
	for _, c := range sockets {
		sent += 1200
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		for {
			n, err := c.Read(buf)
			if err != nil {
				break
			}
			received += n
			if buf[0]&0xf0 == 0xf0 { // long header, type Retry (RFC 9000 section 17.2.5)
				retries++
			}
		}
	}
	if retries < 100 {
		t.Errorf("%d of %d were asked to show their address", retries, len(sockets))
	}
	if received > 3*sent {
		t.Errorf("%d bytes were answered with %d", sent, received)
	}
}

// initial returns a function that makes the first packets of ever other handshakes.
func initial(t *testing.T) func() [][]byte {
	return func() [][]byte {
		l, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			quic.DialAddr(ctx, l.LocalAddr().String(), &tls.Config{InsecureSkipVerify: true, ServerName: host, NextProtos: []string{"h3"}}, &quic.Config{})
		}()
		var all [][]byte
		buf := make([]byte, 2000)
		l.SetReadDeadline(time.Now().Add(harness.Patience))
		n, err := l.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, append([]byte(nil), buf[:n]...))
		l.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		for {
			n, err := l.Read(buf)
			if err != nil {
				break
			}
			all = append(all, append([]byte(nil), buf[:n]...))
		}
		cancel()
		<-done
		return all
	}
}
