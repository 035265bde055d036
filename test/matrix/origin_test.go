package matrix

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// seen is what a member was sent, as it says in its answer to /echo.
type seen struct {
	Server  string
	Method  string
	URI     string
	Host    string
	Proto   string
	Headers map[string]string // names in lower case; values of one name are put together
	Length  int
	Sum     string
	Trailer string // X-Sum
}

// origin is a member that does by path what a test needs. index.php does the same. Tests and members meet at files in dir: a file
// ID.on says that the request has come, ID.go lets it go on, and ID.hits has a line with the member's name for each try.
type origin struct {
	name, dir string
}

// ServeHTTP implements [http.Handler].
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	id := q.Get("id")
	n, _ := strconv.Atoi(q.Get("n"))
	ctl := http.NewResponseController(w)
	w.Header().Set("X-Server", o.name)
	o.hit(id)
	path := r.URL.Path
	if strings.HasPrefix(path, "/echo") {
		path = "/echo"
	}
	switch path {
	case "/echo":
		o.echo(w, r, id)
	case "/hold": // until it may go on
		o.mark(id, "on")
		if o.wait(r.Context(), id) {
			io.WriteString(w, "held")
		}
	case "/stall": // in the middle of the answer
		io.WriteString(w, "one")
		ctl.Flush()
		o.mark(id, "on")
		if o.wait(r.Context(), id) {
			io.WriteString(w, "two")
		}
	case "/text": // compressible
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", strconv.Itoa(n))
		io.WriteString(w, text(n))
	case "/stream": // of unknown length, half of it before it may go on
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, text(n))
		ctl.Flush()
		if o.wait(r.Context(), id) {
			io.WriteString(w, text(n))
		}
	case "/status":
		w.Header().Set("ETag", `"tag"`)
		if n != http.StatusNoContent {
			w.Header().Set("Content-Length", "7")
		}
		w.WriteHeader(n)
		if r.Method != http.MethodHead && n != http.StatusNoContent && n != http.StatusNotModified {
			io.WriteString(w, "content")
		}
	case "/die": // at the first try, without a word
		if o.hits(id) == 1 {
			o.die(r)
		}
		o.echo(w, r, "")
	case "/cut":
		if q.Has("length") {
			w.Header().Set("Content-Length", "100000")
		}
		io.WriteString(w, text(20000))
		ctl.Flush()
		o.die(r)
	case "/refuse": // before the body
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "no")
	case "/hints":
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "after hints")
	case "/trailers":
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		ctl.Flush()
		w.Header().Set("X-Sum", "42")
	case "/first": // says when the first bytes of the body have come
		b := make([]byte, 1)
		if _, err := io.ReadFull(r.Body, b); err == nil {
			o.mark(id, "on")
		}
		rest, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, rest+1, err)
	case "/gone": // says when nobody waits any more
		o.mark(id, "on")
		<-r.Context().Done()
		o.mark(id, "gone")
	case "/edits":
		w.Header().Set("X-Set", "member")
		w.Header().Set("X-Add", "member")
		w.Header().Set("X-Remove", "member")
	case "/ws":
		webSocket(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (o *origin) echo(w http.ResponseWriter, r *http.Request, id string) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		return // the client will not have an answer
	}
	if id != "" {
		o.mark(id, "whole")
	}
	s := seen{
		Server: o.name, Method: r.Method, URI: r.RequestURI, Host: r.Host, Proto: r.Proto, Headers: map[string]string{},
		Length: int(n), Sum: fmt.Sprintf("%x", sum.Sum(nil)), Trailer: r.Trailer.Get("X-Sum"),
	}
	for name, values := range r.Header {
		s.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(b)
}

func (o *origin) file(id, what string) string { return filepath.Join(o.dir, id+"."+what) }

func (o *origin) mark(id, what string) {
	if err := os.WriteFile(o.file(id, what), nil, 0o600); err != nil {
		panic(err)
	}
}

// hit notes the try of a request with an ID.
func (o *origin) hit(id string) {
	if id == "" {
		return
	}
	f, err := os.OpenFile(o.file(id, "hits"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(f, o.name)
	f.Close()
}

func (o *origin) hits(id string) int {
	b, _ := os.ReadFile(o.file(id, "hits"))
	return strings.Count(string(b), "\n")
}

// wait waits until the request may go on.
func (o *origin) wait(ctx context.Context, id string) bool {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		if _, err := os.Stat(o.file(id, "go")); err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
	}
}

type connKey struct{}

// die ends the connection, as the death of a process does.
func (o *origin) die(r *http.Request) {
	c := r.Context().Value(connKey{}).(net.Conn)
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn() // without the alert that says good-bye
	}
	c.Close()
	panic(http.ErrAbortHandler)
}

// serve starts an origin. With a certificate it speaks TLS, and only the given version of HTTP.
func serve(t testing.TB, name, dir string, h2 bool, cert *tls.Certificate) (addr string) {
	t.Helper()
	addr = harness.FreeAddr(t)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		Handler: &origin{name, dir}, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ErrorLog:    nil,
	}
	srv.Protocols.SetHTTP1(!h2)
	done := make(chan struct{})
	if cert != nil {
		srv.Protocols.SetHTTP2(h2)
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}}
	} else {
		srv.Protocols.SetUnencryptedHTTP2(h2)
	}
	go func() {
		defer close(done)
		if cert != nil {
			_ = srv.ServeTLS(l, "", "")
		} else {
			_ = srv.Serve(l)
		}
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return addr
}

// text is n bytes that can be compressed, and by which displaced ones show.
func text(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d of a text\n", i)
	}
	return b.String()[:n]
}
