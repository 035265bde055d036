package vip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// Two nodes with different files both own the address: the log says so once, and says what to look at, not at each packet.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir())
		w.configure(file(front()))
		w.start()
		defer w.stop()
		s := w.speaker()
		refuse := func(each uint64, times int, reasons ...vrrp.Refusal) {
			t.Helper()
			for range times {
				s.mu.Lock()
				next := map[string]uint64{} // the one that was reported is not ours any more
				for k, v := range s.instances[0].Counters.Refused {
					next[k] = v
				}
				for _, r := range reasons {
					next[r.Error()] += each
				}
				s.instances[0].Counters.Refused = next
				s.mu.Unlock()
				time.Sleep(speaker.StatusEvery)
				synctest.Wait()
			}
		}
		told := func(when string, want int) {
			t.Helper()
			line := `level=WARN msg="advertisements were refused" vip=front family=4 reason=addresses hint="address has to be the same on all nodes, and router_id nobody else's in this network"`
			if got := strings.Count(w.log.String(), line); got != want {
				t.Errorf("%s: told %d times, want %d:\n%s", when, got, want, w.log)
			}
		}
		time.Sleep(speaker.StatusEvery)
		synctest.Wait()
		refuse(1, 3, vrrp.RefusedRouterID)
		told("another virtual router", 0)
		refuse(10, 200, vrrp.RefusedAddresses, vrrp.RefusedRouterID)
		told("refused all the time", 1)
		refuse(0, 1)
		time.Sleep(2 * refusedQuiet)
		synctest.Wait()
		told("quiet", 1)
		refuse(1, 1, vrrp.RefusedAddresses)
		told("and again", 2)
		if n := strings.Count(w.log.String(), "were refused"); n != 2 {
			t.Errorf("%d lines, want 2:\n%s", n, w.log)
		}
	})
}

func TestRefusedHints(t *testing.T) {
	seen := map[string]bool{}
	for r := vrrp.RefusedLength; r.Error() != "unknown"; r++ {
		seen[refusedHint(r.Error())] = true
	}
	if len(seen) != 10 {
		t.Errorf("there are %d different hints: %v", len(seen), seen)
	}
}
