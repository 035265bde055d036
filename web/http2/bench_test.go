package http2

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// BenchmarkServe asks a server in a process of its own for a trivial answer, with h2load's four connections of ten streams
// each, and reports the processor time of that process: ours and net/http's, over TCP and over TLS.
//
//	go test -run '^$' -bench Serve -benchtime 200000x ./web/http2
func BenchmarkServe(b *testing.B) {
	load, err := exec.LookPath("h2load")
	if err != nil {
		b.Skip("h2load is not installed")
	}
	for _, what := range []string{"ours h2c", "nethttp h2c", "ours tls", "nethttp tls"} {
		b.Run(strings.ReplaceAll(what, " ", "/"), func(b *testing.B) {
			p := startServer(b, what)
			scheme := "http"
			if strings.HasSuffix(what, "tls") {
				scheme = "https"
			}
			url := scheme + "://" + p.addr + "/"
			n := max(b.N, 40)
			if out, err := exec.Command(load, "-n", "2000", "-c", "4", "-m", "10", url).CombinedOutput(); err != nil {
				b.Fatalf("h2load: %v\n%s", err, out)
			}
			before := p.cpu(b)
			b.ResetTimer()
			out, err := exec.Command(load, "-n", fmt.Sprint(n), "-c", "4", "-m", "10", url).CombinedOutput()
			b.StopTimer()
			if err != nil || !strings.Contains(string(out), fmt.Sprintf("%d succeeded", n)) {
				b.Fatalf("h2load: %v\n%s", err, out)
			}
			b.ReportMetric(float64((p.cpu(b)-before).Microseconds())/float64(n), "cpu-µs/req")
		})
	}
}

// BenchmarkRequest is one request without sockets: ten at a time, with the fields of curl, all of them in the table but the
// first time.
func BenchmarkRequest(b *testing.B) {
	r := newRaw(b, nil)
	var in bytes.Buffer
	r.fr = http2.NewFramer(&in, nil)
	in.WriteString(http2.ClientPreface)
	r.ok(r.fr.WriteSettings())
	l := &looper{answers: make(chan int, 100), first: bytes.Clone(in.Bytes())}
	l.make = func(batch []byte) []byte {
		in = *bytes.NewBuffer(batch[:0])
		for range 10 {
			l.id += 2
			r.headers(l.id-1, true, get("user-agent: curl/8.5.0", "accept: */*")...)
			r.ok(r.fr.WriteWindowUpdate(0, 6))
		}
		return in.Bytes()
	}
	l.left = int32(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	if err := NewConn(l, config(func(c *Config) { c.Workers = NewWorkers(100) }), hello).Serve(); err != nil {
		b.Fatal(err)
	}
}

// looper is a client that asks ten times and waits for all answers.
type looper struct {
	id      uint32
	left    int32
	first   []byte
	make    func([]byte) []byte
	batch   []byte
	rest    []byte
	pending int
	answers chan int
}

func (l *looper) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		for l.pending > 0 {
			l.pending -= <-l.answers
		}
		if l.left <= 0 {
			return 0, io.EOF
		}
		l.left -= 10
		l.pending = 10
		l.batch = l.make(l.batch)
		l.rest = l.batch
	}
	if len(l.first) > 0 {
		n := copy(p, l.first)
		l.first = l.first[n:]
		return n, nil
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *looper) Write(p []byte) (int, error) {
	l.answers <- bytes.Count(p, []byte("hello\n"))
	return len(p), nil
}

func (l *looper) Arm(time.Duration) bool { return true }
func (l *looper) Abort()                 {}

type process struct {
	addr string
	in   io.Writer
	out  *bufio.Scanner
}

func startServer(b *testing.B, what string) *process {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestServerProcess$")
	cmd.Env = append(os.Environ(), "HTTP2_SERVE="+what)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	p := &process{in: in, out: bufio.NewScanner(out)}
	if !p.out.Scan() {
		b.Fatal("the server did not start")
	}
	p.addr = p.out.Text()
	return p
}

func (p *process) cpu(b *testing.B) time.Duration {
	b.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil || !p.out.Scan() {
		b.Fatalf("the server has ended: %v", err)
	}
	d, err := time.ParseDuration(p.out.Text())
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// TestServerProcess is the server of BenchmarkServe. Each line that it reads it answers with its processor time.
func TestServerProcess(t *testing.T) {
	what, secure, _ := strings.Cut(os.Getenv("HTTP2_SERVE"), " ")
	if what == "" {
		t.Skip("only BenchmarkServe starts it")
	}
	var conf *tls.Config
	if secure == "tls" {
		conf = selfSigned(t)
	}
	addr := ""
	if what == "ours" {
		addr = serve(t, conf, config(), hello).addr
	} else {
		addr = serveNetHTTP(t, conf)
	}
	fmt.Println(addr)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		fmt.Println(time.Duration(u.Utime.Nano() + u.Stime.Nano()))
	}
}

func serveNetHTTP(t *testing.T, conf *tls.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	p.SetHTTP2(true)
	s := &http.Server{Protocols: p, TLSConfig: conf, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "6")
		_, _ = io.WriteString(w, "hello\n")
	})}
	t.Cleanup(func() { _ = s.Close() })
	if conf != nil {
		go func() { _ = s.ServeTLS(ln, "", "") }()
	} else {
		go func() { _ = s.Serve(ln) }()
	}
	return ln.Addr().String()
}
