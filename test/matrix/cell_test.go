package matrix

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"skein/test/harness"
)

// cell is one feature tried by one client in front of one member. Its methods fail the test when they cannot do their work,
// unless their name begins with try.
type cell struct {
	*testing.T

	site   *site
	f      *feature
	client client
	member member
	name   string
	addr   string

	dials atomic.Int64 // connections to skein
	got   atomic.Int64 // bytes of answers' bodies
	http  http.RoundTripper
	want  []string // "status cause" of the log's lines
	ran   bool
	ids   atomic.Int64
}

// host is the name by which the cell's http block is found.
func (x *cell) host() string { return x.name + domain }

// open makes the client, which undoes no compression and follows no redirect.
func (x *cell) open() {
	conf := &tls.Config{RootCAs: x.site.roots}
	if x.client.major == 3 {
		tr := &http3.Transport{TLSClientConfig: conf, DisableCompression: true, QUICConfig: &quic.Config{HandshakeIdleTimeout: harness.Patience}}
		tr.Dial = func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			x.dials.Add(1)
			return quic.DialAddr(ctx, x.addr, tc, qc)
		}
		x.Cleanup(func() { tr.Close() })
		x.http = tr
		return
	}
	tr := &http.Transport{TLSClientConfig: conf, DisableCompression: true, Protocols: new(http.Protocols), ExpectContinueTimeout: harness.Patience}
	tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		x.dials.Add(1)
		c, err := new(net.Dialer).DialContext(ctx, "tcp", x.addr)
		if err == nil && x.f.reset && x.client.major == 1 {
			err = c.(*net.TCPConn).SetLinger(0)
		}
		return c, err
	}
	tr.Protocols.SetHTTP1(x.client.major == 1)
	tr.Protocols.SetHTTP2(x.client.major == 2 && x.client.tls)
	tr.Protocols.SetUnencryptedHTTP2(x.client.major == 2 && !x.client.tls)
	x.Cleanup(tr.CloseIdleConnections)
	x.http = tr
}

// id is a new one, for what tests and members agree upon.
func (x *cell) id() string { return fmt.Sprintf("%s-%d", x.name, x.ids.Add(1)) }

// marked waits for what a member says of the request with that ID.
func (x *cell) marked(id, what string) {
	x.Helper()
	harness.Eventually(x, harness.Patience, what+" of "+id, func() bool { return x.isMarked(id, what) })
}

func (x *cell) isMarked(id, what string) bool {
	_, err := os.Stat(filepath.Join(x.site.dir, id+"."+what))
	return err == nil
}

// release lets a member go on.
func (x *cell) release(id string) {
	x.Helper()
	x.site.write(id+".go", "")
}

// hits are the members that were asked for that ID.
func (x *cell) hits(id string) []string {
	b, _ := os.ReadFile(filepath.Join(x.site.dir, id+".hits"))
	return strings.Fields(string(b))
}

// request is what is asked.
type request struct {
	method, path string
	host         string            // without it the cell's
	header       map[string]string // values that begin with a line break are several lines
	body         io.Reader
	length       int64 // of body; -1 is unknown
	trailer      http.Header
	ctx          context.Context
}

// answer is what came back.
type answer struct {
	*http.Response

	body     string
	err      error // the body broke off
	interims []string
}

func (x *cell) make(q request) (*http.Request, *answer) {
	x.Helper()
	if q.method == "" {
		q.method = "GET"
	}
	if q.host == "" {
		q.host = x.host()
	}
	if q.ctx == nil {
		q.ctx = x.Context()
	}
	a := &answer{}
	var mu sync.Mutex
	ctx := httptrace.WithClientTrace(q.ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		mu.Lock()
		defer mu.Unlock()
		a.interims = append(a.interims, strings.TrimSpace(fmt.Sprint(code, " ", h.Get("Link"))))
		if g, ok := q.body.(*gate); ok && code == 100 {
			g.open()
		}
		return nil
	}})
	r, err := http.NewRequestWithContext(ctx, q.method, x.client.scheme()+"://"+q.host+q.path, nil)
	if err != nil {
		x.Fatal(err)
	}
	if q.body != nil {
		r.ContentLength = q.length
		r.Body = io.NopCloser(q.body)
		if c, ok := q.body.(io.ReadCloser); ok { // a client that has its answer closes the body, and waits for who reads it
			r.Body = c
		}
	}
	r.Trailer = q.trailer
	for name, value := range q.header {
		for v := range strings.SplitSeq(value, "\n") {
			r.Header.Add(name, v)
		}
	}
	return r, a
}

// try sends a request and reads the answer.
func (x *cell) try(q request) (*answer, error) {
	x.Helper()
	r, a := x.make(q)
	resp, err := x.http.RoundTrip(r)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	a.Response, a.body, a.err = resp, string(b), err
	x.got.Add(int64(len(b)))
	if resp.ProtoMajor != x.client.major {
		x.Errorf("answered in %s", resp.Proto)
	}
	return a, nil
}

// do is try for what must succeed; start reads no body.
func (x *cell) do(q request) *answer {
	x.Helper()
	a, err := x.try(q)
	if err != nil {
		x.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	return a
}

func (x *cell) start(q request) *http.Response {
	x.Helper()
	r, _ := x.make(q)
	resp, err := x.http.RoundTrip(r)
	if err != nil {
		x.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	x.Cleanup(func() { resp.Body.Close() })
	return resp
}

// expect is do for an answer with this status, which is whole.
func (x *cell) expect(status int, q request) *answer {
	x.Helper()
	a := x.do(q)
	if a.StatusCode != status || a.err != nil {
		x.Fatalf("%s %s = %d %.300q, %v; want %d", q.method, q.path, a.StatusCode, a.body, a.err, status)
	}
	return a
}

// get expects a whole 200.
func (x *cell) get(path string) *answer {
	x.Helper()
	return x.expect(200, request{path: path})
}

// echo expects a 200 that says what the member has seen.
func (x *cell) echo(q request) seen {
	x.Helper()
	a := x.expect(200, q)
	var s seen
	if err := json.Unmarshal([]byte(a.body), &s); err != nil {
		x.Fatalf("%s %s: %v in %.200q", q.method, q.path, err, a.body)
	}
	return s
}

// is compares.
func (x *cell) is(what string, got, want any) {
	x.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		x.Errorf("%s = %q, want %q", what, fmt.Sprint(got), fmt.Sprint(want))
	}
}

// logs says what the access log must have of this cell: "status cause" of each request, in any order.
func (x *cell) logs(lines ...string) { x.want = append(x.want, lines...) }

// times is a number of equal lines for logs.
func times(n int, line string) []string {
	var all []string
	for range n {
		all = append(all, line)
	}
	return all
}

// body makes a body of n bytes, whose length is known or not.
func body(n int, known bool) (io.Reader, int64) {
	b := []byte(text(n))
	if known {
		return bytes.NewReader(b), int64(n)
	}
	return io.MultiReader(bytes.NewReader(b)), -1
}

// sum is what members say of text(n).
func sum(n int) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text(n)))) }

// gate is a body that is not read before it is opened.
type gate struct {
	io.Reader
	once sync.Once
	c    chan struct{}
	read atomic.Bool

	closed atomic.Bool
}

func newGate(r io.Reader) *gate { return &gate{Reader: r, c: make(chan struct{})} }

func (g *gate) open() { g.once.Do(func() { close(g.c) }) }

// Close implements [io.Closer].
func (g *gate) Close() error {
	g.closed.Store(true)
	g.open()
	return nil
}

// Read implements [io.Reader].
func (g *gate) Read(p []byte) (int, error) {
	<-g.c
	if g.closed.Load() {
		return 0, io.ErrClosedPipe
	}
	g.read.Store(true)
	return g.Reader.Read(p)
}
