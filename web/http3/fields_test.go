package http3

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/qpack"
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
	var l fieldList
	l.reset(false)
	if err := decode(block.Bytes(), &l, c); err != nil {
		t.Fatal(err)
	}
	var r Request
	if bad := l.request(&r, false, false); bad != "" || l.large {
		t.Fatal(bad, l.large)
	}
	want := Request{
		Method: "POST", Scheme: "https", Authority: []byte("x.test"), Path: []byte("/a?b"), Length: 12,
		Fields: []Field{{[]byte("cookie"), []byte("a=1; b=2; c=3")}, {[]byte("x-a"), []byte("1")}, {[]byte("x-a"), []byte("2")}},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// Trailers that would change what has been judged are left out, others are kept.
func TestTrailers(t *testing.T) {
	var l fieldList
	l.reset(true)
	c := &Config{MaxHeader: 1000, MaxFields: 10}
	for _, n := range []string{"x-sum", "content-length", "authorization", "cookie", "x_y", "etag"} {
		l.add(n, "1", c)
	}
	var got []string
	for _, f := range l.fields {
		got = append(got, string(f.Name))
	}
	if diff := cmp.Diff([]string{"x-sum", "etag"}, got); diff != "" || l.bad != "" {
		t.Errorf("kept (-want +got):\n%s%s", diff, l.bad)
	}
	l.add(":path", "/", c)
	if l.bad == "" {
		t.Error("a pseudo field in trailers was taken")
	}
}

// Whatever a client sends as a header block, it is taken or refused, and never more than the bounds is kept of it.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x00\x00\xd1\xd7\xc1\x50\x01a"))
	f.Add([]byte("\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x27\xff\x00a\x01b"))
	c := &Config{MaxHeader: 300, MaxFields: 4}
	f.Fuzz(func(t *testing.T, b []byte) {
		var l fieldList
		l.reset(false)
		if decode(b, &l, c) != nil || l.large {
			return
		}
		var r Request
		if l.request(&r, true, false) != "" {
			return
		}
		n := 0
		for _, f := range r.Fields {
			n += len(f.Name) + len(f.Value)
			if !all(string(f.Name), nameByte) || !validValue(string(f.Value)) {
				t.Errorf("field %q: %q", f.Name, f.Value)
			}
		}
		if n > c.MaxHeader || len(r.Fields) > c.MaxFields {
			t.Errorf("%d bytes in %d fields", n, len(r.Fields))
		}
	})
}
