package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// long is a body that is worth compressing.
var long = strings.Repeat("worth compressing, as it says the same again and again. ", 64)

// longAnswer is the head of an origin's answer with a long body.
func longAnswer(lines ...string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\n%s\nContent-Length: %d\n\n%s", strings.Join(lines, "\n"), len(long), long)
}

// plainText is answered with a type.
func plainText(lines ...string) string {
	return longAnswer(append([]string{"Content-Type: text/plain"}, lines...)...)
}

// decoded is the body of an answer as a browser shows it.
func decoded(t *testing.T, a *http.Response, body string) string {
	t.Helper()
	name := a.Header.Get("Content-Encoding")
	if name == "" {
		return body
	}
	b, err := io.ReadAll(decoder(t, name, strings.NewReader(body)))
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return string(b)
}

// Each rule that decides whether an answer is compressed, and what its head says then.
func TestCompressRules(t *testing.T) {
	small := "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 5\n\nhello"
	tests := []struct {
		name   string
		more   string // of the site
		method string // GET
		accept string // "gzip"; "-" for none
		ask    string // more lines of the request
		answer string
		want   string // Content-Encoding
		head   map[string]string
	}{
		{name: "plain", answer: plainText(), want: "gzip", head: map[string]string{"Vary": "Accept-Encoding"}},
		{name: "br", accept: "br", answer: plainText(), want: "br"},
		{name: "zstd", accept: "zstd", answer: plainText(), want: "zstd"},
		{name: "the server's order", accept: "gzip, br, zstd", answer: plainText(), want: "zstd"},
		{name: "the client's order", accept: "gzip, br;q=0.5, zstd;q=0.4", answer: plainText(), want: "gzip"},
		{name: "off", more: "compress {\n off = true\n}", answer: plainText(), head: map[string]string{"Vary": ""}},
		{name: "no Accept-Encoding", accept: "-", answer: plainText(), head: map[string]string{"Vary": "Accept-Encoding"}},
		{name: "nothing that we have", accept: "deflate", answer: plainText("Vary: Cookie"), head: map[string]string{"Vary": "Cookie, Accept-Encoding"}},

		{name: "unknown length", answer: "HTTP/1.1 200 OK\nContent-Type: text/plain\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", want: "gzip"},
		{name: "small", answer: small, head: map[string]string{"Vary": "", "Content-Length": "5"}},
		{name: "small, but identity is refused", accept: "identity;q=0, br", answer: small, want: "br"},
		{name: "identity is refused, and all else", accept: "identity;q=0", answer: plainText(), head: map[string]string{"Vary": "Accept-Encoding"}},
		{name: "empty", accept: "identity;q=0, br", answer: "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 0\n\n"},
		{name: "an error of the member", answer: strings.Replace(plainText(), "200 OK", "500 Oh", 1), want: "gzip"},

		{name: "HEAD", method: "HEAD", answer: strings.TrimSuffix(plainText(`ETag: "a"`), long), want: "gzip", head: map[string]string{"Vary": "Accept-Encoding", "Content-Length": "", "Etag": `W/"a"`}},
		{name: "HEAD of something small", method: "HEAD", answer: strings.TrimSuffix(small, "hello"), head: map[string]string{"Content-Length": "5"}},
		{name: "204", answer: "HTTP/1.1 204 No Content\nContent-Type: text/plain\n\n"},
		{name: "206", answer: strings.Replace(plainText("Content-Range: bytes 0-9/10"), "200 OK", "206 Partial Content", 1)},
		{name: "Content-Range", answer: plainText("Content-Range: bytes 0-9/10")},

		{name: "encoded by the member", answer: plainText("Content-Encoding: deflate", `ETag: "a"`), want: "deflate", head: map[string]string{"Vary": "", "Etag": `"a"`}},
		{name: "encoded twice by the member", answer: plainText("Content-Encoding: identity", "Content-Encoding: deflate"), want: "identity"},
		{name: "Content-Encoding: identity", answer: plainText("Content-Encoding: Identity"), want: "gzip"},

		{name: "no-transform", answer: plainText("Cache-Control: public, No-Transform"), head: map[string]string{"Vary": ""}},
		{name: "no-transform in a second line", answer: plainText("Cache-Control: public", "cache-control: no-transform"), head: map[string]string{"Vary": ""}},
		{name: "another directive", answer: plainText("Cache-Control: public, x-no-transform"), want: "gzip"},
		{name: "no-transform of the client", ask: "Cache-Control: no-transform\n", answer: plainText(), head: map[string]string{"Vary": "Accept-Encoding"}},
		{name: "no-transform of the configuration", more: "response_headers {\n set = { Cache-Control = \"no-transform\" }\n}", answer: plainText(), head: map[string]string{"Vary": ""}},
		{name: "no-transform that the configuration removes", more: "response_headers {\n remove = [\"Cache-Control\"]\n}", answer: plainText("Cache-Control: no-transform"), want: "gzip"},

		{name: "a type with parameters", answer: longAnswer("Content-Type: text/HTML ; charset=utf-8"), want: "gzip"},
		{name: "a type by name", answer: longAnswer("Content-Type: Application/JSON;x=y"), want: "gzip"},
		{name: "a type that is not named", answer: longAnswer("Content-Type: image/png"), head: map[string]string{"Vary": ""}},
		{name: "a type that begins as one", answer: longAnswer("Content-Type: application/jsonp")},
		{name: "no subtype", answer: longAnswer("Content-Type: text/")},
		{name: "no type", answer: longAnswer("X-A: b")},
		{name: "two types", answer: longAnswer("Content-Type: text/plain", "Content-Type: text/html")},
		{name: "a type of the configuration", more: "response_headers {\n set = { Content-Type = \"text/x-own\" }\n}", answer: longAnswer("Content-Type: image/png"), want: "gzip", head: map[string]string{"Content-Type": "text/x-own"}},
		{name: "gRPC", more: "compress {\n types = [\"application/*\"]\n}", answer: longAnswer("Content-Type: application/grpc+proto")},
		{name: "beside gRPC", more: "compress {\n types = [\"application/*\"]\n}", answer: longAnswer("Content-Type: application/x"), want: "gzip"},

		{name: "ETag", answer: plainText(`ETag: "a"`), want: "gzip", head: map[string]string{"Etag": `W/"a"`}},
		{name: "weak ETag", answer: plainText(`ETag: W/"a"`), want: "gzip", head: map[string]string{"Etag": `W/"a"`}},
		{name: "no ETag at all", answer: plainText(`ETag: a`), want: "gzip", head: map[string]string{"Etag": ""}},
		{name: "ETag of an answer as it is", accept: "-", answer: plainText(`ETag: "a"`), head: map[string]string{"Etag": `"a"`}},
		{name: "ETag of the configuration", more: "response_headers {\n set = { ETag = \"\\\"c\\\"\" }\n}", answer: plainText(`ETag: "a"`), want: "gzip", head: map[string]string{"Etag": `W/"c"`}},

		{name: "what is said of the bytes", answer: plainText("Accept-Ranges: bytes", "Content-MD5: x", "Digest: x", "Content-Digest: x", "Repr-Digest: x", "X-Kept: x"), want: "gzip", head: map[string]string{
			"Accept-Ranges": "", "Content-Md5": "", "Digest": "", "Content-Digest": "", "Repr-Digest": "", "X-Kept": "x",
		}},
		{name: "what is said of the bytes of an answer as it is", accept: "-", answer: plainText("Accept-Ranges: bytes", "Digest: x"), head: map[string]string{"Accept-Ranges": "bytes", "Digest": "x"}},

		{name: "Vary is merged", answer: plainText("Vary: Cookie", "X-A: b", "Vary: Origin"), want: "gzip", head: map[string]string{"Vary": "Cookie, Origin, Accept-Encoding"}},
		{name: "Vary is merged for who takes nothing", accept: "-", answer: plainText("Vary: Cookie", "X-A: b", "Vary: Origin"), head: map[string]string{"Vary": "Cookie, Origin, Accept-Encoding"}},
		{name: "Vary says it", answer: plainText("Vary: Cookie, accept-encoding"), want: "gzip", head: map[string]string{"Vary": "Cookie, accept-encoding"}},
		{name: "Vary says all", answer: plainText("Vary: *"), want: "gzip", head: map[string]string{"Vary": "*"}},
		{name: "Vary of the configuration", more: "response_headers {\n set = { Vary = \"Cookie\" }\n}", answer: plainText("Vary: Origin"), want: "gzip", head: map[string]string{"Vary": "Cookie, Accept-Encoding"}},
		{name: "Vary of the configuration for who takes nothing", accept: "-", more: "response_headers {\n set = { Vary = \"Cookie\" }\n}", answer: plainText("Vary: Origin"), head: map[string]string{"Vary": "Cookie; Accept-Encoding"}},

		{name: "fields of one hop", answer: plainText("Connection: X-Hop", "X-Hop: 1", "Keep-Alive: x", "X-Kept: 2"), want: "gzip", head: map[string]string{"X-Hop": "", "Keep-Alive": "", "X-Kept": "2"}},
		{name: "edits", more: "response_headers {\n remove = [\"X-Gone\"]\n add = { X-More = \"1\" }\n}", answer: plainText("X-Gone: 1", "X-Kept: 2"), want: "gzip", head: map[string]string{"X-Gone": "", "X-More": "1", "X-Kept": "2"}},
	}
	both(t, func(t *testing.T, plain bool) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				more := test.more
				if !strings.Contains(more, "compress {") {
					more += "\ncompress {\n}"
				}
				if strings.Contains(more, "off = true") {
					more = "compress {\n}\nroute \"/\" {\n" + more + "\n}"
				}
				s := serveFile(t, plain, site1(origin(t, always(test.answer)), more))
				method := test.method
				if method == "" {
					method = "GET"
				}
				lines := test.ask
				switch test.accept {
				case "":
					lines += "Accept-Encoding: gzip\n"
				case "-":
				default:
					lines += "Accept-Encoding: " + test.accept + "\n"
				}
				c, r := s.dial(here)
				for range 2 { // the second one meets pooled encoders, and a connection that must be in order
					a, body, err := ask(t, c, r, method, method+" / HTTP/1.1\nHost: h\n"+lines+"\n")
					if err != nil {
						t.Fatal(err)
					}
					if got := a.Header.Get("Content-Encoding"); got != test.want {
						t.Errorf("Content-Encoding = %q, want %q in %v", got, test.want, a.Header)
					}
					for name, want := range test.head {
						if got := strings.Join(a.Header.Values(name), "; "); got != want {
							t.Errorf("%s = %q, want %q", name, got, want)
						}
					}
					if method == "HEAD" {
						continue
					}
					_, want, _ := strings.Cut(test.answer, "\n\n")
					want = strings.TrimSuffix(strings.TrimPrefix(want, "5\n"), "\n0\n\n")
					if test.want == "gzip" || test.want == "br" || test.want == "zstd" {
						body = decoded(t, a, body)
					}
					if body != want {
						t.Errorf("body = %q, want %q", body, want)
					}
				}
				s.balanced()
				settled(t, s.Web, nil, nil)
			})
		}
	})
}

// A 304 carries the tag of the copy that the client has.
func TestCompressNotModified(t *testing.T) {
	tests := []struct{ ask, tag, want, vary string }{
		{`If-None-Match: W/"a"`, `"a"`, `W/"a"`, "Accept-Encoding"},
		{`If-None-Match: "b", W/"a"`, `"a"`, `W/"a"`, "Accept-Encoding"},
		{`If-None-Match: "a"`, `"a"`, `"a"`, ""},
		{`If-None-Match: W/"a", "a"`, `"a"`, `"a"`, ""},
		{`If-None-Match: W/"a"`, `W/"a"`, `W/"a"`, ""},
		{`If-None-Match: *`, `"a"`, `"a"`, ""},
		{`If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT`, `"a"`, `"a"`, ""},
	}
	for _, test := range tests {
		asked := make(chan string, 1)
		s := serveFile(t, false, site1(origin(t, func(c net.Conn, r *bufio.Reader) {
			_, h, err := head(r)
			if err != nil {
				return
			}
			asked <- h.Get("If-None-Match")
			fmt.Fprintf(c, "HTTP/1.1 304 Not Modified\r\nETag: %s\r\n\r\n", test.tag)
		}), "compress {\n}"))
		c, r := s.dial(here)
		a, _, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\nAccept-Encoding: gzip\n"+test.ask+"\n\n")
		if err != nil {
			t.Fatal(err)
		}
		if tag, vary := a.Header.Get("ETag"), a.Header.Get("Vary"); tag != test.want || vary != test.vary {
			t.Errorf("%s: ETag: %s, Vary: %s; want %s and %s", test.ask, tag, vary, test.want, test.vary)
		}
		if got, want := <-asked, strings.TrimPrefix(test.ask, "If-None-Match: "); strings.HasPrefix(test.ask, "If-None") && got != want {
			t.Errorf("the member was asked for %q, want %q", got, want)
		}
	}
}

// The member hears what the client takes, and may compress by itself.
func TestCompressTellsTheMember(t *testing.T) {
	s := serveFile(t, false, site1(origin(t, func(c net.Conn, r *bufio.Reader) {
		_, h, err := head(r)
		if err != nil {
			return
		}
		body := strings.Join(h.Values("Accept-Encoding"), "; ")
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}), "compress {\n}"))
	c, r := s.dial(here)
	_, body, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\nAccept-Encoding: gzip, br;q=0.5\nAccept-Encoding: dcb\n\n")
	if want := "gzip, br;q=0.5; dcb"; err != nil || body != want {
		t.Errorf("Accept-Encoding: %s, %v; want %s", body, err, want)
	}
}

// Our own pages are compressed if they are long, and never the short sentences.
func TestCompressOwnPages(t *testing.T) {
	s := serveFile(t, false, site1("127.0.0.1:1", "compress {\n min_size = 5\n}"))
	c, r := s.dial(here)
	a, body, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\nAccept-Encoding: gzip\n\n")
	if err != nil || a.StatusCode != 502 || a.Header.Get("Content-Encoding") != "gzip" || decoded(t, a, body) != "Bad Gateway\n" {
		t.Errorf("answer = %v, %q, %v", a, body, err)
	}
	if err := s.reload(site1("127.0.0.1:1", "compress {\n}")); err != nil {
		t.Fatal(err)
	}
	a, body, err = ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\nAccept-Encoding: gzip\n\n")
	if err != nil || a.StatusCode != 502 || a.Header.Get("Content-Encoding") != "" || body != "Bad Gateway\n" {
		t.Errorf("answer = %v, %q, %v", a, body, err)
	}
}

// A member that dies in the middle of an answer: the client sees no end, of neither the chunks nor the encoding. An HTTP/1.0
// client, for whom the end of the connection is the end of the answer, sees a reset.
func TestCompressCutAnswer(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		for _, proto := range []string{"HTTP/1.1", "HTTP/1.0"} {
			for name := range compressNames {
				s := serveFile(t, plain, site1(origin(t, func(c net.Conn, r *bufio.Reader) {
					if _, _, err := head(r); err != nil {
						return
					}
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", 2*len(long), long)
				}), "compress {\n}"))
				c, r := s.dial(here)
				a, body, err := ask(t, c, r, "GET", "GET / "+proto+"\nHost: h\nAccept-Encoding: "+name+"\n\n")
				if err != nil && a == nil { // the reset came before the head was read
					continue
				}
				if err == nil {
					t.Errorf("%s: half an answer of %d bytes was taken for a whole one", proto, len(body))
				}
				if proto == "HTTP/1.1" {
					got, err := io.ReadAll(decoder(t, name, strings.NewReader(body)))
					if err == nil || string(got) != long {
						t.Errorf("%s: %d bytes decoded, %v", name, len(got), err)
					}
				}
				s.balanced()
				settled(t, s.Web, nil, nil)
			}
		}
	})
}

// Trailers come behind a compressed body as they came.
func TestCompressTrailers(t *testing.T) {
	s := serveFile(t, false, site1(origin(t, always("HTTP/1.1 200 OK\nContent-Type: text/plain\nTransfer-Encoding: chunked\n\n5\nhello\n0\nX-Sum: 7\n\n")), "compress {\n}"))
	c, r := s.dial(here)
	a, body, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\nTE: trailers\nAccept-Encoding: br\n\n")
	if err != nil || decoded(t, a, body) != "hello" {
		t.Fatalf("answer = %v, %q, %v", a, body, err)
	}
	if d := cmp.Diff(http.Header{"X-Sum": {"7"}}, a.Trailer); d != "" {
		t.Error(d)
	}
}

// An upload that waits for 100 Continue speaks to the client while the answer is put behind an encoder.
func TestCompressBesideAnUpload(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		s := serveFile(t, plain, site1(origin(t, func(c net.Conn, r *bufio.Reader) {
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				n, err := io.Copy(io.Discard, req.Body)
				if err != nil {
					return
				}
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n, strings.Repeat("x", int(n)))
			}
		}), "compress {\n}"))
		c, r := s.dial(here)
		for _, n := range []int{1, bodySize + 1, 1 << 20} {
			go fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: zstd\r\nContent-Length: %d\r\n\r\n%s", n, strings.Repeat("b", n))
			a, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(a.Body)
			if err != nil || decoded(t, a, string(b)) != strings.Repeat("x", n) {
				t.Fatalf("%d bytes: %v, %v", n, a, err)
			}
		}
		s.balanced()
	})
}

// While brotli keeps the processors busy, who takes something cheaper gets that; who takes only brotli still gets it.
func TestCompressBusy(t *testing.T) {
	s := serveFile(t, false, site1(origin(t, always(plainText())), "compress {\n}"))
	c, r := s.dial(here)
	for _, test := range []struct {
		busy         bool
		accept, want string
	}{
		{false, "br, gzip;q=0.5", "br"},
		{true, "br, gzip;q=0.5", "gzip"},
		{true, "br, gzip;q=0", "br"},
		{true, "br, identity;q=0.5", "br"},
		{true, "br", "br"},
		{true, "*", "zstd"},
		{false, "br, gzip;q=0.5", "br"},
	} {
		var others int32
		if test.busy {
			others = 1000
		}
		s.compressor.brotlis.Add(others)
		a, body, err := ask(t, c, r, "GET", "GET / HTTP/1.1\nHost: h\nAccept-Encoding: "+test.accept+"\n\n")
		s.compressor.brotlis.Add(-others)
		if err != nil || a.Header.Get("Content-Encoding") != test.want || decoded(t, a, body) != long {
			t.Errorf("%+v: %v, %v", test, a.Header, err)
		}
	}
	if n := s.compressor.brotlis.Load(); n != 0 {
		t.Errorf("%d steps of brotli are counted that do not run", n)
	}
}

// Many clients at once share the encoders, and some leave in the middle: nobody gets another's bytes, and every encoder comes back.
func TestCompressManyClients(t *testing.T) {
	both(t, func(t *testing.T, plain bool) {
		s := serveFile(t, plain, site1(origin(t, func(c net.Conn, r *bufio.Reader) {
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				body := strings.Repeat(req.URL.Path+" ", 20_000)
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
			}
		}), "compress {\n}"))
		addr := s.addr(here)
		var all sync.WaitGroup
		for i := range 24 {
			all.Go(func() {
				for j := range 8 {
					name := []string{"gzip", "br", "zstd"}[(i+j)%3]
					path := fmt.Sprintf("/%d-%d", i, j)
					c, err := net.Dial("tcp", addr)
					if err != nil {
						t.Error(err)
						return
					}
					_ = c.SetDeadline(time.Now().Add(20 * time.Second))
					fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\nAccept-Encoding: %s\r\n\r\n", path, name)
					if j%4 == 3 { // leaves after the first bytes
						_, _ = io.ReadFull(c, make([]byte, 20))
						_ = c.(*net.TCPConn).SetLinger(0)
						c.Close()
						continue
					}
					a, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Errorf("%s: %v", path, err)
						c.Close()
						return
					}
					b, err := io.ReadAll(a.Body)
					c.Close()
					if got := decoded(t, a, string(b)); err != nil || a.Header.Get("Content-Encoding") != name || got != strings.Repeat(path+" ", 20_000) {
						t.Errorf("%s: %d bytes, %v, %v", path, len(got), a.Header, err)
					}
				}
			})
		}
		all.Wait()
		s.balanced()
		settled(t, s.Web, nil, nil)
	})
}
