package http3

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go/quicvarint"

	"skein/test/harness"
)

// A WebSocket over HTTP/3 (RFC 9220) is an upgrade to the origin, and ends when either side does.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go echoSocket(c)
		}
	}()
	s.origin.addr = l.Addr().String()
	s.Reload(s.file("", ""))
	c := s.dial(t)
	settle(t, c)
	q, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	q.SetDeadline(time.Now().Add(harness.Patience))
	q.Write(headers(request(line{":method", "CONNECT"}, line{":path", "/chat"}, line{":protocol", "websocket"}, line{"sec-websocket-version", "13"})))
	r := bufio.NewReader(q)
	if typ, b := next(t, r); typ != 1 {
		t.Fatalf("frame of type %d: %q", typ, b)
	} else if f, err := qpack.NewDecoder().Decode(b)(); err != nil || f.Value != "200" {
		t.Fatalf("%v, %v", f, err)
	}
	for range 3 {
		want := bytes.Repeat([]byte("hello"), 5000)
		q.Write(frame(0, string(want)))
		var got []byte
		for len(got) < len(want) {
			_, b := next(t, r)
			got = append(got, b...)
		}
		if !bytes.Equal(got, want) {
			t.Fatal("the echo differs")
		}
	}
	q.Close()
	if b, err := io.ReadAll(r); err != nil || len(b) != 0 {
		t.Errorf("after the end: %q, %v", b, err)
	}
	// Another protocol is not.
	other, _ := c.OpenStream()
	other.Write(headers(request(line{":method", "CONNECT"}, line{":protocol", "connect-udp"})))
	other.Close()
	if got := verdict(other); got != "501" {
		t.Errorf("connect-udp: %s", got)
	}
}

func next(t *testing.T, r *bufio.Reader) (typ uint64, payload []byte) {
	t.Helper()
	typ, err := quicvarint.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	n, err := quicvarint.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatal(err)
	}
	return typ, payload
}

// echoSocket agrees to an upgrade and sends back what comes.
func echoSocket(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	q, err := http.ReadRequest(r)
	if err != nil || q.Header.Get("Upgrade") != "websocket" {
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		return
	}
	h := sha1.Sum([]byte(q.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(h[:])+"\r\n\r\n")
	io.Copy(c, r)
}
