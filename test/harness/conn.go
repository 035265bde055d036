package harness

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Conn is a client that says exactly what the test says. Its methods fail the test when they cannot do their work, unless
// their name begins with Try; none waits longer than [Patience].
type Conn struct {
	*net.TCPConn

	t   testing.TB
	r   *bufio.Reader
	got record // what was received
}

// Raw connects.
func Raw(t testing.TB, addr string) *Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return wrap(t, c.(*net.TCPConn))
}

// RawSmall connects with a receive buffer of about the given size, set before the handshake so that the window is small from
// the first byte.
func RawSmall(t testing.TB, addr string, buffer int) *Conn {
	t.Helper()
	d := net.Dialer{Timeout: Patience, Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer)
		}); e != nil {
			return e
		}
		return err
	}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return wrap(t, c.(*net.TCPConn))
}

func wrap(t testing.TB, c *net.TCPConn) *Conn {
	conn := &Conn{TCPConn: c, t: t}
	conn.r = bufio.NewReaderSize(io.TeeReader(c, &conn.got), 64<<10)
	return conn
}

// Send writes bytes.
func (c *Conn) Send(parts ...string) {
	c.t.Helper()
	if err := c.TrySend(parts...); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// TrySend writes bytes; who sends garbage may find the connection closed.
func (c *Conn) TrySend(parts ...string) error {
	c.SetWriteDeadline(time.Now().Add(Patience))
	_, err := io.WriteString(c.TCPConn, strings.Join(parts, ""))
	return err
}

// Answer is one answer as net/http understands it.
type Answer struct {
	Status  int
	Proto   string
	Header  http.Header
	Body    string
	Trailer http.Header
	Close   bool  // the connection ends after it
	Err     error // the body broke off: io.ErrUnexpectedEOF
}

// Answer reads one answer, interim ones (1xx) included, to a request with this method.
func (c *Conn) Answer(method string) *Answer {
	c.t.Helper()
	a, err := c.TryAnswer(method)
	if err != nil {
		c.t.Fatalf("answer to %s: %v; got %q", method, err, c.Received())
	}
	return a
}

// TryAnswer is Answer, for answers that may not come. Errors after the head are in Answer.Err.
func (c *Conn) TryAnswer(method string) (*Answer, error) {
	c.SetReadDeadline(time.Now().Add(Patience))
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	a := &Answer{Status: resp.StatusCode, Proto: resp.Proto, Header: resp.Header, Close: resp.Close}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return a, nil
	}
	b, err := io.ReadAll(resp.Body)
	a.Body, a.Err, a.Trailer = string(b), err, resp.Trailer
	return a, nil
}

// Final reads answers until one is no interim answer.
func (c *Conn) Final(method string) *Answer {
	c.t.Helper()
	for {
		if a := c.Answer(method); a.Status >= 200 || a.Status == http.StatusSwitchingProtocols {
			return a
		}
	}
}

// Get sends a small GET and returns the answer.
func (c *Conn) Get(target string) *Answer {
	c.t.Helper()
	c.Send("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")
	return c.Answer("GET")
}

// Expect reads exactly these bytes.
func (c *Conn) Expect(want string) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(Patience))
	b := make([]byte, len(want))
	n, err := io.ReadFull(c.r, b)
	if got := string(b[:n]); got != want {
		c.t.Fatalf("received %q (%v), want %q", got, err, want)
	}
}

// Rest reads until the connection ends and returns what came. A reset is an end, too.
func (c *Conn) Rest() string {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(Patience))
	b, err := io.ReadAll(c.r)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("wait for the end of the connection: %v; got %q", err, b)
	}
	return string(b)
}

// Closed fails the test unless the connection ends without another byte.
func (c *Conn) Closed() {
	c.t.Helper()
	if rest := c.Rest(); rest != "" {
		c.t.Fatalf("received %q, want the end of the connection", rest)
	}
}

// Reader reads on with a deadline that covers all of it, for large bodies.
func (c *Conn) Reader(within time.Duration) io.Reader {
	c.SetReadDeadline(time.Now().Add(within))
	return c.r
}

// Received is the first MiB of what has come on this connection.
func (c *Conn) Received() string { return string(c.got) }

// record keeps the beginning of what is written to it, for error messages: some answers are larger than memory.
type record []byte

func (r *record) Write(p []byte) (int, error) {
	*r = append(*r, p[:min(len(p), 1<<20-len(*r))]...)
	return len(p), nil
}

// Reset closes the connection by RST, as a machine that has lost its state does.
func (c *Conn) Reset() {
	c.SetLinger(0)
	c.TCPConn.Close()
}

// Fetch sends one GET on a connection of its own and returns the answer.
func Fetch(t testing.TB, addr, target string) *Answer {
	t.Helper()
	a, err := TryFetch(addr, target)
	if err != nil {
		t.Fatalf("GET %s%s: %v", addr, target, err)
	}
	return a
}

// TryFetch is Fetch, for times at which it may fail. It can be called from any goroutine.
func TryFetch(addr, target string) (*Answer, error) {
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	conn := wrap(nil, c.(*net.TCPConn))
	if err := conn.TrySend(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", target)); err != nil {
		return nil, err
	}
	return conn.TryAnswer("GET")
}
