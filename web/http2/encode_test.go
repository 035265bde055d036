package http2

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2/hpack"
)

func TestAppendStatus(t *testing.T) {
	for status := 100; status < 1000; status++ {
		got, err := hpack.NewDecoder(0, nil).DecodeFull(AppendStatus(nil, status))
		want := []hpack.HeaderField{{Name: ":status", Value: strconv.Itoa(status)}}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("status %d: %v %s", status, err, d)
		}
	}
	if n := len(AppendStatus(nil, 404)); n != 1 {
		t.Errorf("404 takes %d bytes, want 1", n)
	}
}

// staticNames are the names of RFC 7541 appendix A, from index 15 on.
const staticNames = `accept-charset accept-encoding accept-language accept-ranges accept access-control-allow-origin age allow
authorization cache-control content-disposition content-encoding content-language content-length content-location content-range
content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since
last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server
set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate`

func TestAppendField(t *testing.T) {
	names := strings.Fields(staticNames)
	if len(names) != 61-15+1 {
		t.Fatalf("%d names", len(names))
	}
	for _, name := range names {
		if n := len(AppendField(nil, []byte(name), nil)); n > 3 {
			t.Errorf("%s takes %d bytes, want an index", name, n)
		}
	}
	names = append(names, "x", "X-Mixed-CASE_1", strings.Repeat("long-name", 30))
	values := []string{"", "a", "Mon, 23 Nov 2026 00:00:00 GMT", "\xe4\xff"}
	for _, n := range []int{0x7e, 0x7f, 0x80, 0xfe, 0xff, 0x100, huffmanFrom - 1, huffmanFrom, huffmanTo, huffmanTo + 1, 20000} {
		values = append(values, strings.Repeat("e", n), strings.Repeat("~", n))
	}
	secrets := map[string]bool{
		"authorization": true, "cookie": true, "set-cookie": true, "proxy-authorization": true, "proxy-authenticate": true, "www-authenticate": true,
	}
	for _, name := range names {
		for _, value := range values {
			b := AppendField([]byte{0x88}, []byte(name), []byte(value))
			d := hpack.NewDecoder(4096, nil)
			got, err := d.DecodeFull(b)
			want := []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: strings.ToLower(name), Value: value, Sensitive: secrets[name]}}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Fatalf("%s: %.40q: %v %s", name, value, err, diff)
			}
			if _, err := d.DecodeFull([]byte{0x80 | 62}); err == nil {
				t.Fatalf("%s was put into the table", name)
			}
		}
	}
	if n := len(AppendField(nil, []byte("x"), []byte(strings.Repeat("e", 160)))); n > 110 {
		t.Errorf("a long value takes %d bytes, want Huffman coding", n)
	}
}
