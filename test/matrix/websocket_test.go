package matrix

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"skein/test/harness"
)

func itoa(n int) string { return strconv.Itoa(n) }

// key is the one of RFC 6455 section 1.3.
const key = "dGhlIHNhbXBsZSBub25jZQ=="

func acceptOf(key string) string {
	h := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(h[:])
}

// webSocket is the member's side: it greets, and sends back what comes. A member of HTTP/2 is never asked for an upgrade.
func webSocket(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("Sec-WebSocket-Version") != "13" {
		http.Error(w, "no handshake", http.StatusUpgradeRequired)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\nwelcome", acceptOf(r.Header.Get("Sec-WebSocket-Key")))
	_ = rw.Flush()
	_, _ = io.Copy(c, rw)
}

// tunnel is a WebSocket's bytes, or the status of a refusal.
type tunnel struct {
	status int
	stream io.ReadWriter
	end    func() // our side's
}

// webSockets are tunnels to members of HTTP/1.1, and a clear refusal for others.
func webSockets(x *cell) {
	var w tunnel
	switch x.client.major {
	case 1:
		w = webSocket1(x)
	case 2:
		w = webSocket2(x)
	case 3:
		w = webSocket3(x)
	}
	if !strings.HasPrefix(x.member.name, "h1") {
		if w.status < 400 {
			x.Errorf("status %d from a member that has no WebSockets", w.status)
		}
		x.get("/echo")
		return
	}
	if x.client.major == 1 {
		x.is("status", w.status, 101)
	} else {
		x.is("status", w.status, 200)
	}
	if w.stream == nil {
		return
	}
	x.read(w.stream, "welcome")
	for _, word := range []string{"hello", text(100_000)} {
		var writing sync.WaitGroup
		writing.Go(func() { _, _ = io.WriteString(w.stream, word) })
		x.read(w.stream, word)
		writing.Wait()
	}
	w.end()
	if b, err := io.ReadAll(w.stream); err != nil || len(b) > 0 {
		x.Errorf("behind the end: %q, %v", b, err)
	}
}

func (x *cell) read(r io.Reader, want string) {
	x.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(r, b); err != nil || string(b) != want {
		x.Fatalf("%d of %d bytes came: %v", n, len(want), err)
	}
}

// dial opens a connection of TCP, with TLS if the client has it.
func (x *cell) dial(alpn string) net.Conn {
	x.Helper()
	c, err := net.DialTimeout("tcp", x.addr, harness.Patience)
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * harness.Patience))
	if !x.client.tls {
		return c
	}
	tc := tls.Client(c, &tls.Config{RootCAs: x.site.roots, ServerName: x.host(), NextProtos: []string{alpn}})
	if err := tc.Handshake(); err != nil {
		x.Fatal(err)
	}
	return tc
}

func webSocket1(x *cell) tunnel {
	c := x.dial("http/1.1")
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", x.host(), key)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		x.Fatal(err)
	}
	if resp.StatusCode == 101 {
		x.is("Sec-WebSocket-Accept", resp.Header.Get("Sec-WebSocket-Accept"), acceptOf(key))
	}
	end := func() { _ = c.(interface{ CloseWrite() error }).CloseWrite() }
	return tunnel{resp.StatusCode, struct {
		io.Reader
		io.Writer
	}{r, c}, end}
}

// client2 is HTTP/2 by frames.
type client2 struct {
	x     *cell
	c     net.Conn
	fr    *http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
	next  uint32
	mu    sync.Mutex // held while a frame is written: who reads answers SETTINGS
}

func dial2(x *cell) *client2 {
	x.Helper()
	c := &client2{x: x, c: x.dial("h2"), next: 1}
	c.fr = http2.NewFramer(c.c, c.c)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.enc = hpack.NewEncoder(&c.block)
	if _, err := io.WriteString(c.c, http2.ClientPreface); err != nil {
		x.Fatal(err)
	}
	if err := c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}); err != nil {
		x.Fatal(err)
	}
	if err := c.fr.WriteWindowUpdate(0, 1<<20); err != nil {
		x.Fatal(err)
	}
	return c
}

// request sends a head; pseudo-fields among fields come first.
func (c *client2) request(method, path string, fields map[string]string, end bool) uint32 {
	c.x.Helper()
	c.block.Reset()
	put := func(name, value string) {
		_ = c.enc.WriteField(hpack.HeaderField{Name: strings.ToLower(name), Value: value})
	}
	put(":method", method)
	put(":scheme", c.x.client.scheme())
	put(":authority", c.x.host())
	put(":path", path)
	for _, pseudo := range []bool{true, false} {
		for name, value := range fields {
			if strings.HasPrefix(name, ":") == pseudo {
				put(name, value)
			}
		}
	}
	id := c.next
	c.next += 2
	if err := c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: end}); err != nil {
		c.x.Fatal(err)
	}
	return id
}

// frame is the next one of the stream; those of the connection are answered.
func (c *client2) frame(id uint32) (http2.Frame, error) {
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			return nil, err
		}
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			c.mu.Lock()
			err := c.fr.WriteSettingsAck()
			c.mu.Unlock()
			if err != nil {
				return nil, err
			}
		}
		if f.Header().StreamID == id {
			if _, ok := f.(*http2.WindowUpdateFrame); !ok {
				return f, nil
			}
		}
	}
}

// status is that of the answer.
func (c *client2) status(id uint32) int {
	c.x.Helper()
	f, err := c.frame(id)
	if err != nil {
		c.x.Fatal(err)
	}
	h, ok := f.(*http2.MetaHeadersFrame)
	if !ok {
		c.x.Fatalf("%v in place of an answer", f)
	}
	n, err := strconv.Atoi(h.PseudoValue("status"))
	if err != nil {
		c.x.Fatal(err)
	}
	return n
}

// stream2 is the data of one stream.
type stream2 struct {
	c    *client2
	id   uint32
	rest []byte
	end  bool
}

// Read implements [io.Reader].
func (s *stream2) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.end {
			return 0, io.EOF
		}
		f, err := s.c.frame(s.id)
		if err != nil {
			return 0, err
		}
		d, ok := f.(*http2.DataFrame)
		if !ok {
			return 0, fmt.Errorf("%v in place of data", f)
		}
		s.rest, s.end = bytes.Clone(d.Data()), d.StreamEnded()
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Write implements [io.Writer]. What a test sends is less than two windows of skein's, and comes back before the next.
func (s *stream2) Write(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 {
		n := min(len(p), 16<<10)
		s.c.mu.Lock()
		err := s.c.fr.WriteData(s.id, false, p[:n])
		s.c.mu.Unlock()
		if err != nil {
			return 0, err
		}
		p = p[n:]
	}
	return all, nil
}

func webSocket2(x *cell) tunnel {
	c := dial2(x)
	id := c.request("CONNECT", "/ws", map[string]string{":protocol": "websocket", "sec-websocket-version": "13"}, false)
	s := &stream2{c: c, id: id}
	return tunnel{c.status(id), s, func() { _ = c.fr.WriteData(id, true, nil) }}
}

func webSocket3(x *cell) tunnel {
	ctx, cancel := context.WithTimeout(x.Context(), harness.Patience)
	x.Cleanup(cancel)
	q, err := quic.DialAddr(ctx, x.addr, &tls.Config{RootCAs: x.site.roots, ServerName: x.host(), NextProtos: []string{"h3"}}, nil)
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { _ = q.CloseWithError(0, "") })
	c := new(http3.Transport).NewClientConn(q)
	<-c.ReceivedSettings()
	if !c.Settings().EnableExtendedConnect {
		x.Fatal("extended CONNECT is not offered")
	}
	s, err := c.OpenRequestStream(ctx)
	if err != nil {
		x.Fatal(err)
	}
	_ = s.SetDeadline(time.Now().Add(2 * harness.Patience))
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+x.host()+"/ws", nil)
	if err != nil {
		x.Fatal(err)
	}
	r.Proto = "websocket"
	r.Header.Set("Sec-WebSocket-Version", "13")
	if err := s.SendRequestHeader(r); err != nil {
		x.Fatal(err)
	}
	resp, err := s.ReadResponse()
	if err != nil {
		x.Fatal(errors.Join(errors.New("no answer to the CONNECT"), err))
	}
	return tunnel{resp.StatusCode, s, func() { _ = s.Close() }}
}
