package http3

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/qpack"

	"skein/web/message"
)

// What we encode is what the library decodes.
func TestEncode(t *testing.T) {
	names := []string{
		"age", "content-disposition", "content-length", "date", "etag", "last-modified", "link", "location", "set-cookie", "accept-ranges",
		"access-control-allow-headers", "access-control-allow-origin", "cache-control", "content-encoding", "content-type",
		"strict-transport-security", "vary", "x-content-type-options", "x-xss-protection", "access-control-allow-credentials",
		"access-control-allow-methods", "access-control-expose-headers", "alt-svc", "content-security-policy", "expect-ct", "server",
		"timing-allow-origin", "x-frame-options", "x-other", "a", strings.Repeat("long-name-", 40),
	}
	values := []string{"", "a", strings.Repeat("b", 47), strings.Repeat("c", 48), strings.Repeat("d", 126), strings.Repeat("e", 127), strings.Repeat("\xff", 300), strings.Repeat("f", 70000)}
	for status := 100; status < 1000; status++ {
		if got := decoded(t, AppendStatus(nil, status)); len(got) != 1 || got[0].Name != ":status" || got[0].Value != string([]byte{byte('0' + status/100), byte('0' + status/10%10), byte('0' + status%10)}) {
			t.Fatalf("status %d became %v", status, got)
		}
	}
	b := AppendTrailers(nil)
	var want []qpack.HeaderField
	for _, n := range names {
		for _, v := range values {
			b = AppendField(b, []byte(strings.ToUpper(n)), []byte(v))
			want = append(want, qpack.HeaderField{Name: n, Value: v})
		}
	}
	if diff := cmp.Diff(want, decoded(t, b)); diff != "" {
		t.Errorf("fields (-want +got):\n%.2000s", diff)
	}
}

func decoded(t *testing.T, b []byte) (all []qpack.HeaderField) {
	t.Helper()
	next := qpack.NewDecoder().Decode(b)
	for {
		f, err := next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
}

// Cookie crumbs are one field, and framing fields are told apart.
func TestFieldList(t *testing.T) {
	var block bytes.Buffer
	e := qpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"},
		{":scheme", "https"},
		{":path", "/a?b"},
		{":authority", "x.test"},
		{"cookie", "a=1"},
		{"x-a", "1"},
		{"content-length", "12"},
		{"cookie", "b=2"},
		{"cookie", "c=3"},
		{"x-a", "2"},
		{"host", "X.test"},
	} {
		if err := e.WriteField(qpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	c := &Config{MaxHeader: 1000, MaxFields: 3}
	var l message.List
	l.Reset(c.bounds(), false)
	if err := decode(block.Bytes(), &l); err != nil {
		t.Fatal(err)
	}
	var r Request
	if bad := l.Request(&r, false, false); bad != "" || l.Large {
		t.Fatal(bad, l.Large)
	}
	want := Request{
		Method: "POST", Scheme: "https", Authority: []byte("x.test"), Path: []byte("/a?b"), Length: 12,
		Fields: []Field{{Name: []byte("cookie"), Value: []byte("a=1; b=2; c=3")}, {Name: []byte("x-a"), Value: []byte("1")}, {Name: []byte("x-a"), Value: []byte("2")}},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// Whatever a client sends as a header block, it is taken or refused, and never more than the bounds is kept of it.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x00\x00\xd1\xd7\xc1\x50\x01a"))
	f.Add([]byte("\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x27\xff\x00a\x01b"))
	c := &Config{MaxHeader: 300, MaxFields: 4}
	f.Fuzz(func(t *testing.T, b []byte) {
		var l message.List
		l.Reset(c.bounds(), false)
		if decode(b, &l) != nil || l.Large {
			return
		}
		var r Request
		if l.Request(&r, true, false) != "" {
			return
		}
		n := 0
		for _, f := range r.Fields {
			n += len(f.Name) + len(f.Value)
			if len(f.Name) == 0 || bytes.ContainsAny(f.Name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ: \r\n\x00") || bytes.ContainsAny(f.Value, "\r\n\x00") {
				t.Errorf("field %q: %q", f.Name, f.Value)
			}
		}
		if n > c.MaxHeader || len(r.Fields) > c.MaxFields {
			t.Errorf("%d bytes in %d fields", n, len(r.Fields))
		}
	})
}
