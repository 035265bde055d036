package vip

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/test/harness"
	"skein/test/lab"
)

// The test process is the load generator, too, when this is set: a process of its own in a host of its own, as visitors are.
const loadVariable = "SKEIN_VIP_LOAD"

func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv(loadVariable)); err == nil {
		os.Exit(visit(n))
	}
	os.Exit(m.Run())
}

// visit keeps n connections busy until its standard input ends, and prints how many requests were answered, and how many
// connections were lost.
func visit(n int) int {
	unix.Setpriority(unix.PRIO_PROCESS, 0, 0) // the test is favored, its load must not be
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	}
	var stop atomic.Bool
	var answered, lost, open atomic.Int64
	var wg sync.WaitGroup
	begin := make(chan struct{}, 64) // so many connections are made at a time
	for range n {
		begin <- struct{}{}
		wg.Go(func() {
			c := dialLoad()
			<-begin
			if c == nil {
				lost.Add(1)
				return
			}
			defer c.Close()
			open.Add(1)
			defer open.Add(-1)
			r := bufio.NewReaderSize(c, 512)
			for !stop.Load() {
				c.SetDeadline(time.Now().Add(time.Minute))
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: site\r\n\r\n"); err != nil {
					lost.Add(1)
					return
				}
				resp, err := http.ReadResponse(r, nil)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if err != nil || resp.StatusCode != http.StatusOK {
					lost.Add(1)
					return
				}
				answered.Add(1)
			}
		})
	}
	fmt.Printf("open %d\n", open.Load())
	io.Copy(io.Discard, os.Stdin)
	busy := open.Load()
	stop.Store(true)
	wg.Wait()
	fmt.Printf("answered %d lost %d open %d\n", answered.Load(), lost.Load(), busy)
	return 0
}

// dialLoad tries for a while: the machine is saturated.
func dialLoad() *os.File {
	for range 10 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil
		}
		if unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{10, 0, 0, 100}}) == nil && unix.SetNonblock(fd, true) == nil {
			return os.NewFile(uintptr(fd), "visitor")
		}
		unix.Close(fd)
	}
	return nil
}

// While the owner works with all that the machine has, on thousands of busy connections, nobody takes the address from it: its
// advertisements are on time.
func TestSaturation(t *testing.T) {
	s := newSite(t, 2)
	conns, length := 2000, 30*time.Second
	switch wanted := os.Getenv("SKEIN_SOAK_SATURATION"); { // "1", or a time
	case harness.Soak() || wanted != "":
		conns, length = 10_000, 10*time.Minute
		if d, err := time.ParseDuration(wanted); err == nil {
			length = d
		}
	case testing.Short():
		conns, length = 500, 3*time.Second
	}
	s.start(s.file(s.front()))
	guest := s.Host("guest", s.lan.Port("10.0.0.98/24"))
	wire := s.lan.Capture(lab.Of(lab.VRRP))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", loadVariable, conns))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	load := guest.Run(cmd)
	load.Says("open ", 3*time.Minute)
	before := busyTime(t)
	speaker := s.run[0].Speaker()
	beats := s.status(0).Speaker
	since := time.Now()
	time.Sleep(length)
	until := time.Now()
	share := float64(busyTime(t)-before) / float64(until.Sub(since)) / float64(runtime.NumCPU())
	now := s.status(0)
	in.Close()
	said := load.Says("answered ", 3*time.Minute).Text
	load.Wait(patience)

	h := s.owners.Between(since, until)
	if len(h) != 1 || !slices.Equal(h[0].Owners, []string{"lb1"}) {
		t.Errorf("a false failover:\n%s", h)
	}
	if n := now.of("front").Transitions; len(n) != 2 {
		t.Errorf("transitions: %+v", n)
	}
	if s.run[0].Speaker() != speaker {
		t.Error("the speaker was replaced")
	}
	var gaps []time.Duration
	var last time.Time
	for _, p := range wire.Packets() {
		if p.Time.Before(since) || p.Time.After(until) || p.Src != s.lb[0].Port(0).Addr() {
			continue
		}
		if !last.IsZero() {
			gaps = append(gaps, p.Time.Sub(last)-100*time.Millisecond)
		}
		last = p.Time
	}
	slices.Sort(gaps)
	if len(gaps) == 0 {
		t.Fatal("no advertisements")
	}
	late := now.VIPs[0].Families[0].Late
	t.Logf("%d connections, CPUs busy %.0f %%: %s", conns, 100*share, said)
	t.Logf("%d advertisements; on the wire later than 100 ms after the last one: median %v, 99.9 %% %v, most %v", len(gaps)+1, gaps[len(gaps)/2],
		gaps[len(gaps)*999/1000], gaps[len(gaps)-1])
	var buckets []string
	for i, n := range late.Counts {
		if n > 0 && i < len(late.Bounds) {
			buckets = append(buckets, fmt.Sprintf("%d within %v", n, time.Duration(late.Bounds[i]*float64(time.Second))))
		} else if n > 0 {
			buckets = append(buckets, fmt.Sprintf("%d later", n))
		}
	}
	t.Logf("by the speaker's own word: %s; most %v", strings.Join(buckets, ", "), time.Duration(late.Max*float64(time.Second)))
	t.Logf("the balancer's beats: %d, of which %d were late by more than one; most %v", now.Speaker.Beats-beats.Beats, now.Speaker.BeatsLate-beats.BeatsLate,
		time.Duration(now.Speaker.BeatMax*float64(time.Second)))
	if now.Speaker.Realtime && gaps[len(gaps)-1] > 200*time.Millisecond {
		t.Errorf("two advertisements were %v apart", gaps[len(gaps)-1]+100*time.Millisecond)
	}
	if share < 0.5 {
		t.Errorf("the CPUs were busy only %.0f %% of the time: that is no saturation", 100*share)
	}
	s.stop()
}

// busyTime is how long the machine's CPUs have worked, all in all (proc_stat(5), in hundredths of a second).
func busyTime(t *testing.T) time.Duration {
	t.Helper()
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	sum := 0
	for i, f := range strings.Fields(line)[1:] {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		if i < 8 && i != 3 && i != 4 { // idle and iowait; guests are counted as user already
			sum += n
		}
	}
	return time.Duration(sum) * 10 * time.Millisecond
}
