package matrix

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

func files(x *cell) {
	a := x.get("/a.txt")
	x.is("body", a.body, text(5000))
	x.is("length", a.ContentLength, 5000)
	x.is("type", a.Header.Get("Content-Type"), "text/plain; charset=utf-8")
	tag, modified := a.Header.Get("ETag"), a.Header.Get("Last-Modified")
	if tag == "" || modified == "" {
		x.Fatalf("ETag %q, Last-Modified %q", tag, modified)
	}
	a = x.expect(200, request{method: "HEAD", path: "/a.txt"})
	x.is("body", a.body, "")
	x.is("length", a.ContentLength, 5000)
	for _, header := range []map[string]string{{"If-None-Match": tag}, {"If-Modified-Since": modified}} {
		a = x.expect(304, request{path: "/a.txt", header: header})
		x.is("body", a.body, "")
		x.is("ETag", a.Header.Get("ETag"), tag)
	}
	x.expect(412, request{path: "/a.txt", header: map[string]string{"If-Match": `"other"`}})
	a = x.expect(206, request{path: "/a.txt", header: map[string]string{"Range": "bytes=10-19"}})
	x.is("body", a.body, text(5000)[10:20])
	x.is("Content-Range", a.Header.Get("Content-Range"), "bytes 10-19/5000")
	a = x.expect(206, request{path: "/a.txt", header: map[string]string{"Range": "bytes=-5", "If-Range": tag}})
	x.is("body", a.body, text(5000)[4995:])
	a = x.expect(206, request{path: "/a.txt", header: map[string]string{"Range": "bytes=0-1,100-101"}})
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "multipart/byteranges") || !strings.Contains(a.body, "bytes 100-101/5000") {
		x.Errorf("two ranges: %s %q", a.Header.Get("Content-Type"), a.body)
	}
	x.expect(416, request{path: "/a.txt", header: map[string]string{"Range": "bytes=6000-"}})
	x.expect(404, request{path: "/nothing"})
	x.expect(404, request{path: "/.secret"})
	x.is("index", x.get("/sub/").body, "index")
	a = x.do(request{path: "/sub?x=1"})
	if a.StatusCode/100 != 3 || !strings.HasSuffix(a.Header.Get("Location"), "/sub/?x=1") {
		x.Errorf("a directory without its slash: %d %q", a.StatusCode, a.Header.Get("Location"))
	}
	x.expect(404, request{method: "DELETE", path: "/a.txt"}) // the pool's business
	if big := x.get("/big.bin"); big.body != text(3<<20) {
		x.Errorf("the large file came as %d bytes", len(big.body))
	}
	x.is("connections", x.dials.Load(), 1)
}

// decode undoes an encoding as it comes.
func (x *cell) decode(encoding string, r io.Reader) io.Reader {
	x.Helper()
	switch encoding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			x.Fatal(err)
		}
		return z
	case "br":
		return brotli.NewReader(r)
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			x.Fatal(err)
		}
		x.Cleanup(z.Close)
		return z
	}
	return r
}

func compressed(x *cell) {
	for _, encoding := range []string{"", "gzip", "br", "zstd"} {
		header := map[string]string{"Accept-Encoding": encoding}
		for _, n := range []int{2000, 200_000} {
			a := x.expect(200, request{path: "/text?n=" + itoa(n), header: header})
			x.is("Content-Encoding", a.Header.Get("Content-Encoding"), encoding)
			x.is("Vary", a.Header.Get("Vary"), "Accept-Encoding")
			b, err := io.ReadAll(x.decode(encoding, bytes.NewReader([]byte(a.body))))
			if err != nil || string(b) != text(n) {
				x.Errorf("%q: %d bytes came as %d, %v", encoding, n, len(b), err)
			}
			if encoding != "" && len(a.body) >= n/2 {
				x.Errorf("%q made %d of %d bytes", encoding, len(a.body), n)
			}
		}
		// What the member has said arrives although it has not said all.
		id := x.id()
		resp := x.start(request{path: "/stream?n=3000&id=" + id, header: header})
		r := x.decode(encoding, resp.Body)
		x.read(r, text(3000))
		x.release(id)
		x.read(r, text(3000))
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			x.Errorf("%q: behind the end %q, %v", encoding, rest, err)
		}
		a := x.expect(200, request{method: "HEAD", path: "/text?n=2000", header: header})
		x.is("body of HEAD", a.body, "")
	}
	x.is("connections", x.dials.Load(), 1)
	x.logs(times(16, "200 done")...)
}

// security tests what is said to clients with TLS and to nobody else.
func security(x *cell) {
	a := x.get("/echo")
	hsts, alt := "", ""
	if x.client.tls {
		hsts = "max-age=3600"
		_, port, _ := strings.Cut(x.addr, ":")
		alt = `h3=":` + port + `"; ma=86400`
	}
	x.is("Strict-Transport-Security", a.Header.Get("Strict-Transport-Security"), hsts)
	x.is("Alt-Svc", a.Header.Get("Alt-Svc"), alt)
}
