package https

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// clientHello is the first flight of Go's client, as one record.
func clientHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		defer near.Close()
		_ = tls.Client(near, config).Handshake()
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(far, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(far, body); err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

// record is a TLS record of this type.
func record(kind byte, p []byte) string {
	return string(append([]byte{kind, 3, 3, byte(len(p) >> 8), byte(len(p))}, p...))
}

// drip sends one byte every while and returns when the other side has ended the connection.
func drip(c net.Conn, p []byte, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range p {
		if _, err := c.Write(p[i : i+1]); err != nil {
			return
		}
		<-tick.C
	}
}

// Whoever does not get on with its handshake is sent away after timeouts { tls }, whatever it does; memory and time are bounded,
// and nothing of it stays.
func TestHandshakesThatStall(t *testing.T) {
	t.Parallel()
	s := start(t, hello(t), "timeouts {\n tls = \"2s\"\n}", "")
	s.fine()
	before := s.Usage()
	whole := clientHello(t, s.client())
	for name, begin := range map[string]func(c *harness.Conn){
		"nothing":            func(*harness.Conn) {},
		"a byte at a time":   func(c *harness.Conn) { go drip(c.TCPConn, whole, 50*time.Millisecond) },
		"half a ClientHello": func(c *harness.Conn) { c.Send(string(whole[:len(whole)/2])) },
		"no second flight":   func(c *harness.Conn) { c.Send(string(whole)) },
		"a huge ClientHello": func(c *harness.Conn) {
			// Handshake type 1, 2^24-1 bytes long; crypto/tls takes 64 KiB of it at most.
			_ = c.TrySend(record(22, append([]byte{1, 0xff, 0xff, 0xff}, whole[9:]...)), strings.Repeat(record(22, make([]byte, 16000)), 20))
		},
		"a large ClientHello in tiny records": func(c *harness.Conn) {
			for _, b := range append([]byte{1, 0, 0xff, 0xff}, make([]byte, 3000)...) {
				if c.TrySend(record(22, []byte{b})) != nil {
					return
				}
			}
		},
		"empty records": func(c *harness.Conn) { _ = c.TrySend(strings.Repeat(record(22, nil), 1000)) },
		"alerts":        func(c *harness.Conn) { _ = c.TrySend(strings.Repeat(record(21, []byte{1, 90}), 1000)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := harness.Raw(t, s.addr)
			began := time.Now()
			begin(c)
			if rest := c.Rest(); len(rest) > 5000 {
				t.Errorf("got %d bytes", len(rest))
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("it took %v to send the client away", took)
			}
			c.Close()
		})
	}
	t.Run("others meanwhile", func(t *testing.T) {
		t.Parallel()
		for range 20 {
			s.fine()
		}
	})
	t.Cleanup(func() { // after the parallel ones
		s.Settles(before)
		s.fine()
		s.Stop()
	})
}

// Clients that break off at each byte of the conversation leave nothing behind.
func TestHandshakesThatBreakOff(t *testing.T) {
	t.Parallel()
	s := start(t, hello(t), "", "")
	s.fine()
	before := s.Usage()
	whole := clientHello(t, s.client())
	for i := 0; i <= len(whole); i += max(1, len(whole)/harness.Count(20, 60, len(whole))) {
		c := harness.Raw(t, s.addr)
		c.Send(string(whole[:i]))
		switch i % 3 {
		case 0:
			c.Reset()
		case 1:
			c.CloseWrite()
			c.Rest()
		}
		c.Close()
	}
	for _, config := range []*tls.Config{s.client(), {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}} {
		for at := range 6 { // after so many writes of ours
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			config.ServerName = host
			v := tls.Client(&cutOff{Conn: c, writes: at}, config)
			_ = v.Handshake()
			c.Close()
		}
	}
	s.Settles(before)
	s.fine()
	if n := s.Metric("skein_http_connections"); n > 0 {
		harness.Eventually(t, harness.Patience, "no connection is left", func() bool { return s.Metric("skein_http_connections") == 0 })
	}
	s.Stop()
}

// cutOff is a connection that ends at a write.
type cutOff struct {
	net.Conn
	writes int
}

func (c *cutOff) Write(b []byte) (int, error) {
	if c.writes--; c.writes < 0 {
		c.Conn.Close()
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(b)
}

// Thousands who say nothing cost little and are gone when their time is up.
func TestSilentCrowd(t *testing.T) {
	t.Parallel()
	n := harness.Count(300, 2000, 10_000)
	s := start(t, hello(t), "timeouts {\n tls = \"5s\"\n}", "")
	s.fine()
	before, memory := s.Usage(), s.Memory()
	var all []net.Conn
	for range n {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		all = append(all, c)
	}
	harness.Eventually(t, harness.Patience, "all are connected, or gone", func() bool {
		return s.Metric("skein_http_connections") >= float64(n) || s.Metric("skein_http_tls_handshake_errors_total") > 0
	})
	cost := int((s.Memory() - memory) / int64(n))
	t.Logf("%d silent clients cost %d bytes each", n, cost)
	// What a few cost drowns in what the heap grows by for itself.
	if bound := 40<<10 + 16<<20/n; cost > bound && !harness.Raced() {
		t.Errorf("a silent client costs %d bytes, want at most %d", cost, bound)
	}
	s.fine()
	for _, c := range all {
		_ = c.SetReadDeadline(time.Now().Add(harness.Patience))
		if _, err := c.Read(make([]byte, 100)); !gone(err) {
			t.Fatalf("a silent client is still there: %v", err)
		}
	}
	s.Settles(before)
	s.Stop()
}

// A client of TLS 1.2 that wants to renegotiate gets no new handshake.
func TestRenegotiation(t *testing.T) {
	t.Parallel()
	openssl := harness.Need(t, "openssl", "openssl")
	s := start(t, hello(t), "", "")
	out := opensslClient(t, openssl, s.addr, "-tls1_2", "R\n")
	if !strings.Contains(out, "RENEGOTIATING") || strings.Contains(out, "verify return:1\n---\nRENEGOTIATING\ndepth") || !strings.Contains(out, "error") && !strings.Contains(out, "no renegotiation") {
		t.Errorf("openssl's renegotiation:\n%s", out)
	}
	s.fine()
	s.Stop()
}

// Half a request in TLS, then the end of TCP without a close_notify: the origin never takes it for whole, nor does the client a
// half answer.
func TestTruncation(t *testing.T) {
	t.Parallel()
	origin := harness.Origin(t, func(p *harness.Peer) {
		for r := p.Head(); r != nil; r = p.Head() {
			switch r.URL.Path {
			case "/until-close":
				p.Send("HTTP/1.1 200 OK\r\n\r\nhalf")
				return
			case "/length":
				p.Send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
				return
			case "/chunks":
				p.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
				return
			}
			if !p.Body(r) {
				return
			}
			p.Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
		}
	})
	s := start(t, origin.Addr, "", "")
	s.fine()
	before := s.Usage()
	for name, version := range versions() {
		config := s.client()
		config.MaxVersion = version
		t.Run(name, func(t *testing.T) {
			for _, framing := range []string{"Content-Length: 100", "Transfer-Encoding: chunked"} {
				for _, end := range []string{"FIN", "RST", "close_notify"} {
					v := dial(t, s.addr, config)
					v.send("POST /upload HTTP/1.1\r\nHost: h\r\n" + framing + "\r\n\r\n5\r\nhello\r\n")
					switch end {
					case "RST":
						_ = v.tcp.SetLinger(0)
					case "close_notify":
						_ = v.CloseWrite()
					}
					_ = v.tcp.CloseWrite()
					if end != "RST" {
						if a, err := v.try("POST"); err == nil && a.StatusCode < 400 {
							t.Errorf("%s, %s: the truncated upload was answered by %d", framing, end, a.StatusCode)
						}
					}
					v.tcp.Close()
				}
			}
			for _, target := range []string{"/length", "/chunks"} {
				v := dial(t, s.addr, config)
				if a := v.get(target); a.err == nil {
					t.Errorf("%s: half an answer looks whole: %q", target, a.body)
				}
				v.tcp.Close()
			}
			// HTTP/1.0 knows no chunks: only the end of TLS says that the answer is whole.
			v := dial(t, s.addr, config)
			v.send("GET /chunks HTTP/1.0\r\nHost: h\r\n\r\n")
			if b, err := io.ReadAll(v.r); err == nil {
				t.Errorf("half an answer looks whole to HTTP/1.0: %q", b)
			}
			v.tcp.Close()
			v = dial(t, s.addr, config)
			v.send("GET /until-close HTTP/1.0\r\nHost: h\r\n\r\n")
			if b, err := io.ReadAll(v.r); err != nil || !bytes.HasSuffix(b, []byte("\r\n\r\nhalf")) {
				t.Errorf("a whole answer to HTTP/1.0: %q, %v", b, err)
			}
			v.tcp.Close()
		})
	}
	s.Settles(before)
	for _, r := range origin.Requests() {
		if r.URL.Path == "/upload" {
			t.Errorf("the origin took a truncated upload for a whole one: %q", r.Raw)
		}
	}
	s.Stop()
}
