package http3

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"skein/test/harness"
)

// line is a field line.
type line struct{ name, value string }

// request is GET / with more fields, or with others in their place.
func request(more ...line) []line {
	all := []line{{":method", "GET"}, {":scheme", "https"}, {":authority", host}, {":path", "/"}}
	for _, m := range more {
		replaced := false
		for i := range all {
			if len(m.name) > 0 && m.name[0] == ':' && all[i].name == m.name {
				all[i], replaced = m, true
			}
		}
		if !replaced {
			all = append(all, m)
		}
	}
	return all
}

func post(more ...line) []line { return request(append([]line{{":method", "POST"}}, more...)...) }

func without(name string) []line {
	var kept []line
	for _, l := range request() {
		if l.name != name {
			kept = append(kept, l)
		}
	}
	return kept
}

// What a request over HTTP/3 may say is what one over HTTP/2 may (RFC 9114 sections 4.2 and 4.3, RFC 9113 section 8.2): the
// same field lists go over both, and the verdicts are the same. "reset" is H3_MESSAGE_ERROR and PROTOCOL_ERROR.
func TestRules(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	for _, test := range []struct {
		name   string
		fields []line
		body   string
		want   string
	}{
		{"plain", request(), "", "200"},
		{"asterisk", request(line{":method", "OPTIONS"}, line{":path", "*"}), "", "200"},
		{"unknown method", request(line{":method", "FOO"}), "", "200"},
		{"te: trailers", request(line{"te", "trailers"}), "", "200"},
		{"empty value", request(line{"x-a", ""}), "", "200"},
		{"utf-8 value", request(line{"x-a", "\xc3\xa4"}), "", "200"},
		{"cookie crumbs", request(line{"cookie", "a=1"}, line{"cookie", "b=2"}), "", "200"},
		{"host without authority", append(without(":authority"), line{"host", host}), "", "200"},
		{"host like authority", request(line{"host", host}), "", "200"},
		{"length and body", post(line{"content-length", "4"}), "body", "200"},
		{"connection", request(line{"connection", "close"}), "", "reset"},
		{"keep-alive", request(line{"keep-alive", "5"}), "", "reset"},
		{"proxy-connection", request(line{"proxy-connection", "x"}), "", "reset"},
		{"transfer-encoding", request(line{"transfer-encoding", "chunked"}), "", "reset"},
		{"upgrade", request(line{"upgrade", "h2c"}), "", "reset"},
		{"te: gzip", request(line{"te", "gzip"}), "", "reset"},
		{"te: trailers, gzip", request(line{"te", "trailers, gzip"}), "", "reset"},
		{"capitals", request(line{"X-A", "b"}), "", "reset"},
		{"capitals inside", request(line{"x-aB", "b"}), "", "reset"},
		{"empty name", request(line{"", "b"}), "", "reset"},
		{"name with space", request(line{"x a", "b"}), "", "reset"},
		{"name with colon", request(line{"x:a", "b"}), "", "reset"},
		{"name with CR", request(line{"x\ra", "b"}), "", "reset"},
		{"name that is not ASCII", request(line{"x\xe4", "b"}), "", "reset"},
		{"LF in a value", request(line{"x-a", "b\nx-c: d"}), "", "reset"},
		{"CR in a value", request(line{"x-a", "b\rc"}), "", "reset"},
		{"NUL in a value", request(line{"x-a", "b\x00c"}), "", "reset"},
		{"DEL in a value", request(line{"x-a", "b\x7fc"}), "", "reset"},
		{"space before a value", request(line{"x-a", " b"}), "", "reset"},
		{"tab behind a value", request(line{"x-a", "b\t"}), "", "reset"},
		{"no method", without(":method"), "", "reset"},
		{"no scheme", without(":scheme"), "", "reset"},
		{"no path", without(":path"), "", "reset"},
		{"no authority", without(":authority"), "", "reset"},
		{"method twice", append([]line{{":method", "GET"}}, request()...), "", "reset"},
		{"path twice", append([]line{{":path", "/"}}, request()...), "", "reset"},
		{"authority twice", append([]line{{":authority", host}}, request()...), "", "reset"},
		{"scheme twice", append([]line{{":scheme", "https"}}, request()...), "", "reset"},
		{"pseudo field behind", append(append([]line{}, line{"x-a", "b"}), request()...), "", "reset"},
		{"status", request(line{":status", "200"}), "", "reset"},
		{"unknown pseudo field", request(line{":foo", "x"}), "", "reset"},
		{"protocol without connect", request(line{":protocol", "websocket"}), "", "reset"},
		{"method with space", request(line{":method", "GET /x"}), "", "reset"},
		{"empty method", request(line{":method", ""}), "", "reset"},
		{"other scheme", request(line{":scheme", "ftp"}), "", "reset"},
		{"empty path", request(line{":path", ""}), "", "reset"},
		{"path without slash", request(line{":path", "a"}), "", "reset"},
		{"absolute path", request(line{":path", "https://" + host + "/"}), "", "reset"},
		{"path with space", request(line{":path", "/a b"}), "", "reset"},
		{"path with LF", request(line{":path", "/a\nb"}), "", "reset"},
		{"path with fragment", request(line{":path", "/a#b"}), "", "reset"},
		{"asterisk with GET", request(line{":path", "*"}), "", "reset"},
		{"userinfo", request(line{":authority", "a@" + host}), "", "reset"},
		{"path in authority", request(line{":authority", host + "/x"}), "", "reset"},
		{"comma in authority", request(line{":authority", host + ",b"}), "", "reset"},
		{"empty authority", request(line{":authority", ""}), "", "reset"},
		{"authority with a bad port", request(line{":authority", host + ":x"}), "", "400"},
		{"host unlike authority", request(line{"host", "b.test"}), "", "reset"},
		{"host twice", append(without(":authority"), line{"host", host}, line{"host", host}), "", "reset"},
		{"length twice", post(line{"content-length", "4"}, line{"content-length", "4"}), "body", "reset"},
		{"length of words", post(line{"content-length", "four"}), "body", "reset"},
		{"length with sign", post(line{"content-length", "+4"}), "body", "reset"},
		{"length too long", post(line{"content-length", "5"}), "body", "reset"},
		{"length too short", post(line{"content-length", "3"}), "body", "reset"},
		{"length without body", post(line{"content-length", "3"}), "", "reset"},
		{"connect", []line{{":method", "CONNECT"}, {":authority", host + ":443"}}, "", "405"},
		{"connect with path", request(line{":method", "CONNECT"}), "", "reset"},
		{"expect something", post(line{"expect", "200-ok"}), "body", "417"},
		{"large", request(line{"x-a", string(bytes.Repeat([]byte("a"), 20000))}), "", "431"},
		{"many fields", request(many(150)...), "", "431"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := s.over3(t, test.fields, test.body); got != test.want {
				t.Errorf("HTTP/3: %s, want %s", got, test.want)
			}
			if got := s.over2(t, test.fields, test.body); got != test.want {
				t.Errorf("HTTP/2: %s, want %s", got, test.want)
			}
		})
	}
	// Targets are judged by the rules of HTTP/1, which they become.
	for target, want := range map[string]string{"/%zz": "400", "/%00": "400", "/a\\b": "400", "/" + string(bytes.Repeat([]byte("a"), 9000)): "414", "/a?\"": "200"} {
		if got := s.over3(t, request(line{":path", target}), ""); got != want {
			t.Errorf("HTTP/3: GET %.20s: %s, want %s", target, got, want)
		}
		if got := s.over2(t, request(line{":path", target}), ""); got != want {
			t.Errorf("HTTP/2: GET %.20s: %s, want %s", target, got, want)
		}
	}
}

func many(n int) []line {
	var all []line
	for i := range n {
		all = append(all, line{fmt.Sprintf("x-%d", i), "a"})
	}
	return all
}

// dial opens a connection on which nobody speaks HTTP/3 but the test.
func (s *site) dial(t testing.TB) *quic.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	c, err := quic.DialAddr(ctx, s.addr, &tls.Config{RootCAs: s.ca.roots, ServerName: host, NextProtos: []string{"h3"}}, &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(0x100, "") })
	return c
}

// settle opens the control stream.
func settle(t testing.TB, c *quic.Conn) *quic.SendStream {
	t.Helper()
	s, err := c.OpenUniStream()
	if err == nil {
		_, err = s.Write([]byte{0, 4, 0})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func frame(typ uint64, payload string) []byte {
	b := quicvarint.Append(quicvarint.Append(nil, typ), uint64(len(payload)))
	return append(b, payload...)
}

func headers(fields []line) []byte {
	var b bytes.Buffer
	e := qpack.NewEncoder(&b)
	for _, f := range fields {
		e.WriteField(qpack.HeaderField{Name: f.name, Value: f.value})
	}
	return frame(1, b.String())
}

// over3 sends a request over HTTP/3 and says what came of it.
func (s *site) over3(t testing.TB, fields []line, body string) string {
	t.Helper()
	c := s.dial(t)
	settle(t, c)
	q, err := c.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	b := headers(fields)
	if body != "" {
		b = append(b, frame(0, body)...)
	}
	if _, err := q.Write(b); err != nil {
		t.Fatal(err)
	}
	q.Close()
	defer c.CloseWithError(0x100, "")
	return verdict(q)
}

// verdict reads an answer.
func verdict(q *quic.Stream) string {
	q.SetReadDeadline(time.Now().Add(harness.Patience))
	b, err := io.ReadAll(q)
	var se *quic.StreamError
	var ae *quic.ApplicationError
	switch {
	case errors.As(err, &se) && se.ErrorCode == 0x10e:
		return "reset"
	case errors.As(err, &se):
		return fmt.Sprintf("reset with %#x", se.ErrorCode)
	case errors.As(err, &ae):
		return fmt.Sprintf("closed with %#x", ae.ErrorCode)
	case err != nil:
		return err.Error()
	}
	typ, n, err := quicvarint.Parse(b)
	if err != nil || typ != 1 {
		return fmt.Sprintf("%d bytes that begin with type %d, %v", len(b), typ, err)
	}
	length, m, err := quicvarint.Parse(b[n:])
	if err != nil {
		return err.Error()
	}
	f, err := qpack.NewDecoder().Decode(b[n+m : n+m+int(length)])()
	if err != nil || f.Name != ":status" {
		return fmt.Sprint(f, err)
	}
	return f.Value
}

// over2 does the same over HTTP/2.
func (s *site) over2(t testing.TB, fields []line, body string) string {
	t.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: harness.Patience}, Config: &tls.Config{RootCAs: s.ca.roots, ServerName: host, NextProtos: []string{"h2"}}}
	c, err := d.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(harness.Patience))
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.WriteSettings()
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	e.SetMaxDynamicTableSize(0)
	for _, l := range fields {
		e.WriteField(hpack.HeaderField{Name: l.name, Value: l.value})
	}
	b := block.Bytes()
	first := b[:min(len(b), 16000)]
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndStream: body == "", EndHeaders: len(first) == len(b)})
	if len(first) < len(b) {
		f.WriteContinuation(1, true, b[len(first):])
	}
	if body != "" {
		f.WriteData(1, true, []byte(body))
	}
	dec := hpack.NewDecoder(4096, nil)
	for {
		got, err := f.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch got := got.(type) {
		case *http2.HeadersFrame:
			all, err := dec.DecodeFull(got.HeaderBlockFragment())
			if err != nil {
				return err.Error()
			}
			return all[0].Value
		case *http2.RSTStreamFrame:
			if got.ErrCode == http2.ErrCodeProtocol {
				return "reset"
			}
			return "reset with " + got.ErrCode.String()
		case *http2.GoAwayFrame:
			return "closed with " + got.ErrCode.String()
		}
	}
}
