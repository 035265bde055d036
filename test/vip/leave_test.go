package vip

import (
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// What runs when a balancer is drained or stopped may end: slow requests, and a download. A WebSocket, which would not end, is cut
// at the end of the handover's time, and not before.
func TestLongRequests(t *testing.T) {
	const handover = 8 * time.Second
	for _, how := range []struct {
		name string
		do   func(s *site)
	}{
		{"drain", func(s *site) { s.command(0, "drain", "lb1") }},
		{"SIGTERM", func(s *site) { s.run[0].Signal(syscall.SIGTERM) }},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 2)
			s.start(s.file(s.front("preempt = false", fmt.Sprintf("handover = %q", handover))))
			ws, err := openSocket(s.visitor)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			var ended time.Time
			var endless error
			wg.Go(func() { ended, endless = ws.lasts(handover + patience) })
			var mu sync.Mutex
			var wrong []string
			ask := func(path string, size int) {
				wg.Go(func() {
					body, code, err := get(s.visitor, 80, path, patience)
					if err != nil || code != http.StatusOK || len(body) != size {
						mu.Lock()
						defer mu.Unlock()
						wrong = append(wrong, fmt.Sprintf("%s: status %d, %d bytes: %v", path, code, len(body), err))
					}
				})
			}
			ask("/download", downloadParts*1000)
			for range 20 {
				ask("/slow", len("at last"))
			}
			harness.Eventually(t, patience, "everything runs", func() bool {
				return s.run[0].Metric("skein_pool_member_active") >= 21
			})
			began := time.Now()
			how.do(s)
			for range 10 { // requests that come meanwhile are served as well
				ask("/slow", len("at last"))
			}
			s.owners.Wait(s.lb[1], handover+patience)
			wg.Wait()
			if len(wrong) > 0 {
				t.Errorf("%d requests failed, the first: %s", len(wrong), wrong[0])
			}
			if took := ended.Sub(began); endless != nil || took < handover-1500*time.Millisecond {
				t.Errorf("the WebSocket ended after %v (%v), want about %v", took, endless, handover)
			}
			for _, h := range s.owners.Gaps() {
				if h.From.Sub(began) < handover-1500*time.Millisecond {
					t.Errorf("the address was given up %v after the beginning, while a WebSocket was open", h.From.Sub(began))
				}
			}
			// The WebSocket that was cut is nobody's any more: the stop does not wait for it.
			if how.name == "drain" {
				s.run[0].Signal(syscall.SIGTERM)
			}
			s.run[0].Stopped(10 * time.Second) // its drain time is 30 s
			s.run[1].Stop()
		})
	}
}
