package http3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"skein/test/harness"
)

func TestExchanges(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	c := s.client()
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		want                     string
		length                   int64
	}{
		{"get", "GET", "/a?b=c", "", 200, "GET /a?b=c", 10},
		{"head", "HEAD", "/a", "", 200, "", 7},
		{"post", "POST", "/echo", "hello", 200, "hello", 5},
		{"post of nothing", "POST", "/echo", "", 200, "", 0},
		{"put", "PUT", "/echo", strings.Repeat("x", 100_000), 200, strings.Repeat("x", 100_000), -1},
		{"delete", "DELETE", "/a", "", 200, "DELETE /a", 9},
		{"204", "GET", "/none", "", 204, "", 0},
		{"chunks", "GET", "/stream?n=5000", "", 200, "", -1},
		{"normal form", "GET", "/a/../%62", "", 200, "GET /b", 6},
		{"connect", "CONNECT", "", "", 405, "Method Not Allowed: this is not a forward proxy: CONNECT is refused\n", -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequest(test.method, url(test.path), strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if test.body == "" && test.method != "POST" {
				r.Body, r.ContentLength = nil, 0
			}
			a, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(a.Body)
			if err != nil {
				t.Fatal(err)
			}
			if a.StatusCode != test.status || test.want != "" && string(b) != test.want || a.ProtoMajor != 3 {
				t.Errorf("%s: %d %q, want %d %q", a.Proto, a.StatusCode, b, test.status, test.want)
			}
			if test.length >= 0 && a.ContentLength != test.length && test.status != 204 {
				t.Errorf("length %d, want %d", a.ContentLength, test.length)
			}
		})
	}
	// A request without a body must not become one of unknown length.
	for _, r := range s.origin.requests() {
		if r.Method == "GET" && len(r.TransferEncoding) > 0 {
			t.Errorf("%s reached the origin with %v", r.RequestURI, r.TransferEncoding)
		}
	}
	r, body := get(t, c, "/who")
	if want := host + "|127.0.0.1|https||"; body != want {
		t.Errorf("the origin was told %q, want %q", body, want)
	}
	if r.Header.Get("Alt-Svc") == "" {
		t.Error("no Alt-Svc")
	}
}

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	c := s.client()
	for _, n := range []int{1 << 20, harness.Count(8<<20, 64<<20, 256<<20)} {
		r, err := c.Get(url(fmt.Sprintf("/bytes?n=%d", n)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.Copy(io.Discard, r.Body)
		if err != nil || got != int64(n) || r.ContentLength != int64(n) {
			t.Fatalf("%d of %d bytes down: %v", got, n, err)
		}
		for _, known := range []bool{true, false} {
			q, err := http.NewRequest("POST", url("/count"), io.LimitReader(pattern{}, int64(n)))
			if err != nil {
				t.Fatal(err)
			}
			q.ContentLength = -1
			if known {
				q.ContentLength = int64(n)
			}
			r, err := c.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(r.Body)
			if want := fmt.Sprintf("%d <nil> ", n); string(b) != want {
				t.Fatalf("%d bytes up: the origin had %q, want %q", n, b, want)
			}
		}
	}
}

func TestManyOnOneConnection(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	c := s.client()
	get(t, c, "/first")
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			r, err := c.Get(url(fmt.Sprintf("/bytes?n=%d", 1000*i)))
			if err != nil {
				t.Error(err)
				return
			}
			b, err := io.ReadAll(r.Body)
			if err != nil || len(b) != 1000*i {
				t.Errorf("%d of %d bytes: %v", len(b), 1000*i, err)
			}
		})
	}
	wg.Wait()
	if n := status(t, s).Accepted; n != 1 {
		t.Errorf("%v connections, want 1", n)
	}
}

func TestTrailersAndHints(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	c := s.client()
	r, err := c.Get(url("/trailers"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil || string(b) != "body" || r.Trailer.Get("X-Sum") != "42" {
		t.Errorf("%q, trailers %v, %v", b, r.Trailer, err)
	}
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, h.Get("Link")))
		return nil
	}})
	q, _ := http.NewRequestWithContext(ctx, "GET", url("/hints"), nil)
	if r, err = c.Do(q); err != nil {
		t.Fatal(err)
	}
	if b, _ = io.ReadAll(r.Body); string(b) != "after hints" || len(hints) != 1 || hints[0] != "103</a.css>; rel=preload" {
		t.Errorf("%q after %q", b, hints)
	}
	// Trailers of a request, which are only known when its body has ended.
	q, _ = http.NewRequest("POST", url("/count"), nil)
	q.Trailer = http.Header{"X-Sum": nil}
	q.Body = io.NopCloser(&atEnd{strings.NewReader("12345"), func() { q.Trailer.Set("X-Sum", "99") }})
	q.ContentLength = -1
	if r, err = c.Do(q); err != nil {
		t.Fatal(err)
	}
	if b, _ = io.ReadAll(r.Body); string(b) != "5 <nil> 99" {
		t.Errorf("the origin had %q", b)
	}
}

// atEnd calls f when the body has been read.
type atEnd struct {
	io.Reader
	f func()
}

func (a *atEnd) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if err == io.EOF {
		a.f()
	}
	return n, err
}

// A client that goes away frees the member at once; an origin that goes away is never taken for the end of an answer.
func TestCancelAndCut(t *testing.T) {
	t.Parallel()
	s := start(t, "", "")
	c := s.client()
	ctx, cancel := context.WithCancel(t.Context())
	q, _ := http.NewRequestWithContext(ctx, "GET", url("/hang"), nil)
	ended := make(chan error, 1)
	go func() {
		_, err := c.Do(q)
		ended <- err
	}()
	<-s.origin.began
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the client saw %v", err)
	}
	select {
	case <-s.origin.left:
	case <-time.After(harness.Patience):
		t.Fatal("the origin still works for a client that has gone")
	}
	get(t, c, "/after") // the connection goes on
	if n := status(t, s).Accepted; n != 1 {
		t.Errorf("%v connections, want 1", n)
	}
	for _, path := range []string{"/cut", "/cutchunks"} {
		// A reset may overtake what was sent before it, even the head.
		r, err := c.Get(url(path))
		n := int64(0)
		if err == nil {
			n, err = io.Copy(io.Discard, r.Body)
		}
		var he *http3.Error
		if !errors.As(err, &he) || he.ErrorCode != http3.ErrCodeInternalError || !he.Remote {
			t.Errorf("%s: after %d bytes %v, want a reset with H3_INTERNAL_ERROR", path, n, err)
		}
	}
}

// An answer that comes before the request has ended is received, and the rest of the request is not.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, "  max_body = \"1MiB\"\n", "")
	c := s.client()
	for range 3 {
		body, w := io.Pipe()
		q, _ := http.NewRequest("POST", url("/early"), body)
		go w.Write(bytes.Repeat([]byte("x"), 100_000))
		r, err := c.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Body)
		if r.StatusCode != 403 || string(b) != "no" || err != nil {
			t.Errorf("%d %q %v", r.StatusCode, b, err)
		}
		w.Close()
	}
	q, _ := http.NewRequest("POST", url("/count"), io.LimitReader(pattern{}, 2<<20))
	q.ContentLength = 2 << 20
	r, err := c.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != 413 {
		t.Errorf("a body that is too large: %d", r.StatusCode)
	}
	get(t, c, "/after")
}
