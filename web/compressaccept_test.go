package web

import (
	"strings"
	"testing"

	"skein/web/http1"
)

func TestCompressAcceptEncoding(t *testing.T) {
	all := []string{"zstd", "br", "gzip"}
	tests := []struct {
		lines  []string // of Accept-Encoding
		offer  []string
		want   encoding
		refuse bool // the answer as it is
	}{
		{nil, all, asIs, false},
		{[]string{""}, all, asIs, false},
		{[]string{"gzip"}, all, gzipped, false},
		{[]string{"GZip"}, all, gzipped, false},
		{[]string{"x-gzip"}, all, gzipped, false},
		{[]string{"deflate"}, all, asIs, false},
		{[]string{"compress, lzma"}, all, asIs, false},
		{[]string{"gzip, deflate, br, zstd"}, all, zstded, false},
		{[]string{"gzip, deflate, br, zstd"}, []string{"br", "gzip"}, brotlied, false},
		{[]string{"gzip, deflate, br, zstd"}, []string{"gzip", "br"}, gzipped, false},
		{[]string{"gzip", "br"}, all, brotlied, false},
		{[]string{"gzip, , ,br"}, all, brotlied, false},
		{[]string{"gzip;q=1.0, br;q=0.9"}, all, gzipped, false},
		{[]string{"gzip;q=0.8, br;q=0.801"}, all, brotlied, false},
		{[]string{"gzip;q=0.8 , br ; q=0.8"}, all, brotlied, false},
		{[]string{"gzip;Q=0.5, br;Q=0.2"}, all, gzipped, false},
		{[]string{"gzip;level=9;q=0"}, all, asIs, false},
		{[]string{"gzip;q=0"}, all, asIs, false},
		{[]string{"gzip;q=0.000"}, all, asIs, false},
		{[]string{"gzip;q=0.001"}, all, gzipped, false},
		{[]string{"gzip, gzip;q=0"}, all, asIs, false},
		{[]string{"gzip;q=0, x-gzip"}, all, asIs, false},
		// not a qvalue: refused
		{[]string{"gzip;q="}, all, asIs, false},
		{[]string{"gzip;q=2"}, all, asIs, false},
		{[]string{"gzip;q=1.001"}, all, asIs, false},
		{[]string{"gzip;q=0.1234"}, all, asIs, false},
		{[]string{"gzip;q=.5"}, all, asIs, false},
		{[]string{"gzip;q=-1"}, all, asIs, false},
		{[]string{"gzip;q=10"}, all, asIs, false},
		{[]string{"gzip;q=1e0"}, all, asIs, false},
		{[]string{"gzip;q=1."}, all, gzipped, false}, // the grammar allows it
		// any
		{[]string{"*"}, all, zstded, false},
		{[]string{"*;q=0.1"}, []string{"gzip"}, gzipped, false},
		{[]string{"*, zstd;q=0"}, all, brotlied, false},
		{[]string{"*;q=0"}, all, asIs, true},
		{[]string{"*;q=0, gzip"}, all, gzipped, true},
		{[]string{"gzip;q=0.5, *;q=0.6"}, all, zstded, false},
		{[]string{"*;q=0, identity;q=0.1"}, all, asIs, false},
		// identity
		{[]string{"identity"}, all, asIs, false},
		{[]string{"identity, gzip;q=0.5"}, all, asIs, false},
		{[]string{"identity;q=0.5, gzip;q=0.5"}, all, gzipped, false},
		{[]string{"identity;q=0.5, gzip"}, all, gzipped, false},
		{[]string{"identity;q=0"}, all, asIs, true},
		{[]string{"identity;q=0, gzip"}, all, gzipped, true},
		{[]string{"identity;q=0", "deflate"}, all, asIs, true},
	}
	for _, test := range tests {
		fields := []Field{{Name: []byte("Host"), Value: []byte("gzip"), ID: http1.Host}}
		for _, line := range test.lines {
			fields = append(fields, Field{Name: []byte("accept-encoding"), Value: []byte(line), ID: http1.AcceptEncoding})
		}
		w := wishesOf(fields)
		if got := w.choose(test.offer); got != test.want {
			t.Errorf("%q: choose(%v) = %v, want %v", test.lines, test.offer, got, test.want)
		}
		if got := w.refuse(); got != test.refuse {
			t.Errorf("%q: refuse() = %v, want %v", test.lines, got, test.refuse)
		}
	}
}

// A list may be as long as a head may be: it must cost no more than its reading.
func TestCompressLongAcceptEncoding(t *testing.T) {
	fields := []Field{{Value: []byte(strings.Repeat("a;q=0.1,", 8000) + "gzip"), ID: http1.AcceptEncoding}}
	if n := testing.AllocsPerRun(10, func() {
		w := wishesOf(fields)
		if w.choose([]string{"br", "gzip"}) != gzipped {
			t.Error("the last element was not found")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
