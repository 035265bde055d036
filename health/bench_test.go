package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"skein/config"
	"skein/pool"
)

// The benchmark's origin is a process of its own, so that only what the checks cost is counted.
const originEnv = "SKEIN_HEALTH_BENCH_ORIGIN"

func TestMain(m *testing.M) {
	if scheme := os.Getenv(originEnv); scheme != "" {
		origin(scheme)
		return
	}
	os.Exit(m.Run())
}

// origin prints its address and answers until its standard input ends.
func origin(scheme string) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "all is well\n") }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if scheme == "https" {
		s.StartTLS()
	} else {
		s.Start()
	}
	fmt.Println(s.Listener.Addr())
	io.Copy(io.Discard, os.Stdin)
}

// BenchmarkThousandChecks runs the checks of 1,000 members, each every 2 s, for a second per iteration (-benchtime 20x),
// and reports the processor time that they take as a share of one core. With https each member is checked every 20 s, since
// the origin's half of 500 handshakes a second would need a core of its own.
func BenchmarkThousandChecks(b *testing.B) {
	for _, kind := range []string{"none", "tcp", "http", "https"} {
		b.Run(kind, func(b *testing.B) {
			var dial Dial
			address := "127.0.0.1:1"
			if kind == "none" { // the schedule, the verdicts and nothing else
				dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
			} else {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), originEnv+"="+kind)
				in, _ := cmd.StdinPipe()
				out, _ := cmd.StdoutPipe()
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				defer cmd.Wait()
				defer in.Close()
				line, err := bufio.NewReader(out).ReadString('\n')
				if err != nil {
					b.Fatal(err)
				}
				address = strings.TrimSpace(line)
			}
			m, set := thousand(b, kind, address, dial)
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error)
			go func() { done <- m.Run(ctx) }()
			time.Sleep(2 * time.Second) // the first checks warm up
			count := func() (checks, failed uint64) {
				for _, pm := range set.Pool("web").Members() {
					checks += pm.Stats.Checks.Load()
					failed += pm.Stats.ChecksFailed.Load()
				}
				return checks, failed
			}
			before, began := processorTime(b), time.Now()
			checks, _ := count()
			for b.Loop() {
				time.Sleep(time.Second)
			}
			took, wall := processorTime(b)-before, time.Since(began)
			all, failed := count()
			checks = all - checks
			cancel()
			<-done
			if kind != "none" && failed > 0 {
				b.Errorf("%d of %d checks failed", failed, all)
			}
			b.ReportMetric(100*float64(took)/float64(wall), "%core")
			b.ReportMetric(float64(took.Microseconds())/float64(checks), "µs/check")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func thousand(b *testing.B, kind, address string, dial Dial) (*Monitor, *pool.Set) {
	host, port, _ := net.SplitHostPort(address)
	c := onePool(1000)
	for i := range c.Members {
		c.Members[i].Server.Host = host
		c.Members[i].Port, _ = strconv.Atoi(port)
	}
	c.Check.JitterShare = 0.1
	c.Check.Kind = kind
	if kind == "https" {
		s := httptest.NewTLSServer(nil) // every server of httptest has this certificate
		c.Check.CA = authority(s)
		c.Check.Every, c.Check.Timeout = 20*time.Second, 10*time.Second
		s.Close()
	}
	set, err := pool.NewSet().Next(&config.Config{Pools: []*config.Pool{c}}, pool.Options{
		Policy: func(config.Policy) (pool.Policy, error) { return first{}, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	m := New(slog.New(slog.DiscardHandler), dial)
	m.Apply(set)
	return m, set
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
