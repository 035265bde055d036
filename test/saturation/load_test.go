package saturation

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
	"skein/test/lab"
)

// The load comes from processes of its own, so that the test, which is favored by the scheduler (see package lab), does not pay
// for it: this test binary is started again with one of these words in the environment.
const (
	roleVariable = "SKEIN_SATURATION_ROLE"
	roleVisitors = "visitors"
	roleOrigin   = "origin"
	roleHog      = "hog"
	roleFlood    = "flood"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case roleVisitors:
		visitors(os.Args[1], os.Args[2])
	case roleOrigin:
		fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
			io.WriteString(w, answer)
		})))
		os.Exit(1)
	case roleFlood:
		fmt.Fprintln(os.Stderr, flood(os.Args[1], os.Args[2], os.Args[3]))
		os.Exit(1)
	case roleHog:
		for n := 0; ; n++ { // a thread that never sleeps
			_ = n
		}
	}
}

const answer = "hello, this is what a small answer looks like: a hundred bytes of text, more or less, and no more...."

// run starts a role in a host.
func run(t *testing.T, h *lab.Host, role string, args ...string) *lab.Program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "GOMAXPROCS=2")
	return h.Run(cmd)
}

// room is how many visitors the balancer has descriptors for, beside its connections to the member.
func room(t *testing.T) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	const members = 3000
	if limit.Max < 2*members {
		t.Fatalf("no more than %d files may be open: run the test with ulimit -n 20000", limit.Max)
	}
	return int(min(limit.Max, 1<<20)) - members
}

// visitors is the process of that role: so many connections to addr, each of which asks again as soon as it has the answer. Once a
// second it prints how many answers there were and what went wrong.
func visitors(addr, number string) {
	n, err := strconv.Atoi(number)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	var open, answered, failed atomic.Int64
	var first sync.Once
	why := ""
	dialing := make(chan struct{}, 200) // less than the backlog of a listener
	for range n {
		go func() {
			for {
				err := visit(addr, dialing, &open, &answered)
				failed.Add(1)
				first.Do(func() { why = err.Error() })
				time.Sleep(100 * time.Millisecond)
			}
		}()
	}
	for range time.Tick(time.Second) {
		text := ""
		if failed.Load() > 0 {
			first.Do(func() {})
			text = why
		}
		fmt.Println(open.Load(), answered.Load(), failed.Load(), text)
	}
}

// visit is one connection, until something goes wrong with it.
func visit(addr string, dialing chan struct{}, open, answered *atomic.Int64) error {
	dialing <- struct{}{}
	c, err := net.DialTimeout("tcp", addr, time.Minute)
	<-dialing
	if err != nil {
		return err
	}
	defer c.Close()
	open.Add(1)
	defer open.Add(-1)
	request := []byte("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n")
	r := bufio.NewReaderSize(c, 512)
	body := make([]byte, len(answer))
	for {
		c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := c.Write(request); err != nil {
			return err
		}
		status, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(status, "HTTP/1.1 200 ") {
			return errors.New(strings.TrimSpace(status))
		}
		for line := ""; line != "\r\n"; {
			if line, err = r.ReadString('\n'); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		answered.Add(1)
	}
}

// crowd is the process of the visitors, seen from the test.
type crowd struct {
	*lab.Program

	t *testing.T
}

// count is what the visitors said last.
func (c crowd) count() (open, answered, failed int, why string) {
	c.t.Helper()
	lines := c.Output().Lines()
	if len(lines) == 0 {
		return 0, 0, 0, ""
	}
	if _, err := fmt.Sscan(lines[len(lines)-1].Text, &open, &answered, &failed); err != nil {
		c.t.Fatalf("visitors said %q: %v", lines[len(lines)-1].Text, err)
	}
	_, why, _ = strings.Cut(lines[len(lines)-1].Text, fmt.Sprint(failed, " "))
	return open, answered, failed, why
}

// come waits until all visitors are there.
func (c crowd) come(n int) {
	c.t.Helper()
	harness.Eventually(c.t, 2*time.Minute, "all visitors are connected", func() bool {
		open, _, _, _ := c.count()
		return open == n
	})
}
