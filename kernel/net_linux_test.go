package kernel

import (
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inNamespaceWithout runs f on a thread that has no capabilities.
func inNamespaceWithout(n netns.NsHandle, f func() error) error {
	return inNamespace(n, func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			return err
		}
		return f()
	})
}

func TestMissing(t *testing.T) {
	w := newWorld(t)
	if got := New().Missing(); len(got) != 0 {
		t.Errorf("Missing() of root = %v, want none", got)
	}
	w.must(inNamespaceWithout(w.a, func() error {
		if got, want := New().Missing(), []string{"CAP_NET_ADMIN", "CAP_NET_RAW"}; !slices.Equal(got, want) {
			t.Errorf("Missing() without capabilities = %v, want %v", got, want)
		}
		return nil
	}))
}

func TestNow(t *testing.T) {
	first := Now()
	if first <= 0 {
		t.Errorf("Now() = %v, want the time since the start of the machine", first)
	}
	for end := time.Now().Add(time.Second); Now() == first; {
		if time.Now().After(end) {
			t.Fatalf("Now() stays %v for a second", first)
		}
	}
	if again := Now(); again < first {
		t.Errorf("Now() = %v after %v", again, first)
	}
}
