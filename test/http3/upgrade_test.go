package http3

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"skein/test/harness"
)

var heir = regexp.MustCompile(`msg="upgrade: the new process serves" pid=(\d+)`)

// A newer process takes the UDP socket, and the connections of the older one go on over it until they are done.
func TestUpgrade(t *testing.T) {
	// Who has lost its parent becomes ours, so that we learn of its end, as an init does.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	s := start(t, "", "")
	pid := 0
	t.Cleanup(func() {
		if pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGTERM)
			harness.Eventually(t, harness.Patience, "the new process ends", func() bool {
				var ws syscall.WaitStatus
				syscall.Wait4(pid, &ws, syscall.WNOHANG, nil)
				_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
				return err != nil
			})
			s.Exit(harness.Patience) // the old one has ended when nobody can write to the log any more
		}
	})
	old := s.client()
	answered := make(chan string, 2)
	go func() {
		r, err := old.Get(url("/wait"))
		if err != nil {
			answered <- err.Error()
			return
		}
		b, err := io.ReadAll(r.Body)
		answered <- fmt.Sprint(string(b), err)
	}()
	<-s.origin.began
	uploaded, w := io.Pipe()
	go func() {
		r, err := old.Post(url("/count"), "text/plain", uploaded)
		if err != nil {
			answered <- err.Error()
			return
		}
		b, err := io.ReadAll(r.Body)
		answered <- fmt.Sprint(string(b), err)
	}()
	send := func() {
		if _, err := io.CopyN(w, pattern{}, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	send()
	s.Signal(syscall.SIGUSR2)
	harness.Eventually(t, harness.Patience, "the new process serves", func() bool {
		m := heir.FindStringSubmatch(s.Log())
		if m != nil {
			pid, _ = strconv.Atoi(m[1])
		}
		return m != nil
	})
	for range 10 {
		get(t, s.client(), "/new") // while the old one is still there
		send()                     // to the old one
	}
	w.Close()
	if got, want := <-answered, fmt.Sprintf("%d <nil> <nil>", 11<<20); got != want {
		t.Errorf("the upload that ran all the time: %q, want %q", got, want)
	}
	s.origin.release <- struct{}{}
	if got := <-answered; got != "waited<nil>" {
		t.Errorf("the request that ran all the time: %q", got)
	}
	harness.Eventually(t, harness.Patience, "the old process ends", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", s.PID()))
		return err != nil
	})
	get(t, s.client(), "/after")
}
