package upgrade

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/test/harness"
)

// work is one kind of visitor, who comes again and again until the test ends.
type work struct {
	name   string
	once   func() error
	done   atomic.Int64
	failed chan string
}

// keepAt lets visitors come until stop is closed.
func keepAt(all *sync.WaitGroup, stop chan struct{}, works ...*work) {
	for _, w := range works {
		w.failed = make(chan string, 100)
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := w.once(); err != nil {
					select {
					case w.failed <- time.Now().Format("15:04:05.000 ") + err.Error():
					default:
					}
				}
				w.done.Add(1)
			}
		})
	}
}

func (w *work) good(t *testing.T, least int64) {
	t.Helper()
	close(w.failed)
	for f := range w.failed {
		t.Errorf("%s: %s", w.name, f)
	}
	if n := w.done.Load(); n < least {
		t.Errorf("%s: came only %d times, want %d", w.name, n, least)
	}
}

// Twenty upgrades in a row while visitors come, transfer and talk, and operators steer: nobody sees anything. A visitor whose
// idle connection ends asks again (RFC 9110 section 9.2.2), as all clients do.
func TestUpgradesUnderLoad(t *testing.T) {
	t.Parallel()
	c := start(t, "30s", quiet)
	c.upgrade() // the first one's descriptors are not quite those of an heir
	c.ended()
	c.serves()
	before := c.descriptors()

	var all sync.WaitGroup
	stop := make(chan struct{})
	fresh := &work{name: "new connection", once: func() error {
		a, err := harness.TryFetch(c.addr, "/")
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("status %d", a.Status)
		}
		if err == nil {
			err = a.Err
		}
		return err
	}}
	transfer := &work{name: "transfer", once: func() error {
		a, err := harness.TryFetch(c.addr, "/big")
		if err != nil {
			return err
		}
		if wrong := whole(a.Body); a.Status != 200 || a.Err != nil || wrong != "" {
			return fmt.Errorf("status %d, %v, %s", a.Status, a.Err, wrong)
		}
		return nil
	}}
	var last time.Time
	look := &work{name: "status", once: func() error {
		s, err := c.status()
		if err != nil {
			return err
		}
		if s.State != "serving" {
			return fmt.Errorf("state is %q", s.State)
		}
		if s.Started.Before(last) {
			return fmt.Errorf("a process of %v answered after one of %v", s.Started, last)
		}
		last = s.Started
		return nil
	}}
	load := harness.Visit(t, c.addr, 4, nil, "GET /", "GET /a?b=c", "HEAD /")
	keepAt(&all, stop, fresh, transfer, look)
	sockets := map[int]*harness.Conn{}
	upgrades := harness.Count(5, 20, 500)
	for i := range upgrades {
		if i%5 == 0 {
			s := harness.Raw(t, c.addr)
			s.Send("GET /socket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			if a := s.Answer("GET"); a.Status != 101 {
				t.Fatalf("answer to the upgrade = %d", a.Status)
			}
			sockets[i] = s
		}
		c.upgrade()
		load.More(20)
		for opened, s := range sockets {
			text := fmt.Sprintf("%d at %d;", opened, i)
			s.Send(text)
			s.Expect(text)
		}
		if i%5 == 4 { // so that not all of a soak lives at once
			for n, s := range sockets {
				s.Close()
				delete(sockets, n)
			}
		}
	}
	for _, s := range sockets {
		s.Close()
	}
	harness.Eventually(t, harness.Patience, "transfers end", func() bool { return transfer.done.Load() >= 2 })
	close(stop)
	all.Wait()
	load.End()
	load.Good("upgrades")
	fresh.good(t, int64(upgrades))
	transfer.good(t, 2)
	look.good(t, int64(upgrades))
	c.upgrade() // to one that has no connections to origins from the load
	c.ended()
	c.serves()
	if !harness.Soon(harness.Patience, func() bool { return c.descriptors() <= before }) {
		t.Errorf("%d descriptors after %d upgrades, were %d", c.descriptors(), upgrades, before)
	}
	if left := children(t, c.pid()); len(left) > 0 {
		t.Errorf("processes that nobody waits for: %v", left)
	}
	if log := c.Log(); strings.Contains(log, "cut off") {
		t.Error("transfers were cut off")
	}
	t.Logf("%d upgrades: %d requests over kept connections (%d were closed), %d over new ones, %d transfers, %d looks at the status",
		upgrades, load.Asked.Load(), load.Lost.Load(), fresh.done.Load(), transfer.done.Load(), look.done.Load())
}

// Drains survive, and those of the very moment of an upgrade are never lost: either the operator is told to ask again, or the
// drain stands in the new process.
func TestDrainsDuringUpgrades(t *testing.T) {
	t.Parallel()
	c := start(t, "10s", quiet)
	if out, code := c.Command("drain", "a", "--force", "--reason", "new disk"); code != 0 {
		t.Fatalf("drain = %d %s", code, out)
	}
	var all sync.WaitGroup
	stop := make(chan struct{})
	drained, told := false, 0
	steer := &work{name: "drain", once: func() error {
		path, body := "/api/v1/drain", `{"name": "b", "force": true}`
		if drained {
			path, body = "/api/v1/ready", `{"name": "b"}`
		}
		code, answer, err := c.ask("POST", path, body)
		switch {
		case err != nil:
			return err
		case code == http.StatusOK:
			drained = !drained
		case strings.Contains(answer, "is being upgraded"):
			told++
		default:
			return fmt.Errorf("%s: %d %s", path, code, answer)
		}
		s, err := c.status()
		if err != nil {
			return err
		}
		stands := map[string]bool{}
		for _, d := range s.Drains {
			stands[d.Server] = true
		}
		if !stands["a"] || stands["b"] != drained {
			return fmt.Errorf("after %s: %d the drains are of %v", path, code, stands)
		}
		return nil
	}}
	keepAt(&all, stop, steer)
	for range harness.Count(3, 10, 200) {
		n := steer.done.Load()
		c.upgrade()
		harness.Eventually(t, harness.Patience, "drains go on", func() bool { return steer.done.Load() > n+3 })
	}
	close(stop)
	all.Wait()
	steer.good(t, 10)
	c.ended()
	if out := c.Admin("/api/v1/status"); !strings.Contains(out, "new disk") {
		t.Error("the drain's reason is lost")
	}
	t.Logf("%d changes of drains, of which %d were to be asked again", steer.done.Load(), told)
}

// What runs longer than the drain time is cut off in the elder, which says so. It is the one thing that an upgrade can cost.
func TestDrainCeiling(t *testing.T) {
	t.Parallel()
	c := start(t, "1s", quiet)
	long := harness.Raw(t, c.addr)
	long.Send("GET /big?times=10 HTTP/1.1\r\nHost: h\r\n\r\n")
	short := harness.Raw(t, c.addr)
	short.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	long.Expect("HTTP/1.1 200")
	c.upgrade()
	if a := short.Answer("GET"); a.Status != 200 {
		t.Errorf("status %d", a.Status)
	}
	if rest := len(long.Rest()); rest == 0 || rest >= 10*pieces*piece {
		t.Errorf("received %d bytes of a transfer that should have been cut off", rest)
	}
	c.ended()
	if !strings.Contains(c.Log(), "cut off") {
		t.Error("the log does not say so")
	}
	c.serves()
}
