package kernel

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// world is two network namespaces on a wire: the left end is "a0" in namespace a, the right one "b0" in b. The test runs on one
// thread, in a.
type world struct {
	t    *testing.T
	a, b netns.NsHandle
}

// newWorld makes the namespaces for one test. They end with it.
func newWorld(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("network namespaces take their time: not with -short")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces of its own")
	}
	runtime.LockOSThread()
	was, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	for _, n := range []*netns.NsHandle{&w.b, &w.a} { // the last one is where we are
		if *n, err = netns.New(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := netns.Set(was); err != nil {
			t.Error(err)
			return // the thread stays locked, so that it ends with the test
		}
		for _, n := range []netns.NsHandle{w.a, w.b, was} {
			_ = n.Close()
		}
		runtime.UnlockOSThread()
	})
	w.ip("link set lo up")
	w.ip("link add a0 type veth peer name b0")
	w.in(w.b, func() { w.ip("link set lo up") })
	b0, err := netlink.LinkByName("b0")
	w.must(err)
	w.must(netlink.LinkSetNsFd(b0, int(w.b)))
	w.in(w.b, func() { w.ip("link set b0 up") })
	w.ip("link set a0 up")
	w.eventually("the carrier of a0", func() bool { return w.link("a0").Up })
	return w
}

// ip runs the tool in the namespace where the thread is.
func (w *world) ip(arguments string) string {
	w.t.Helper()
	out, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("ip %s: %v: %s", arguments, err, out)
	}
	return string(out)
}

// in runs f in a namespace.
func (w *world) in(n netns.NsHandle, f func()) {
	w.t.Helper()
	if err := netns.Set(n); err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := netns.Set(w.a); err != nil {
			w.t.Fatal(err)
		}
	}()
	f()
}

func (w *world) link(name string) Link {
	w.t.Helper()
	links, err := New().Links()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range links {
		if l.Name == name {
			return l
		}
	}
	w.t.Fatalf("Links() = %v, want %s among them", links, name)
	return Link{}
}

func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) { // the kernel's clock is no bubble's
		if time.Now().After(end) {
			w.t.Fatalf("no %s within 5 s", what)
		}
	}
}

// must fails the test with an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// sysctl writes a setting below /proc/sys/net.
func (w *world) sysctl(name, value string) {
	w.t.Helper()
	w.must(os.WriteFile("/proc/sys/net/"+name, []byte(value), 0))
}

// cat reads a setting below /proc/sys/net.
func (w *world) cat(name string) string {
	w.t.Helper()
	b, err := os.ReadFile("/proc/sys/net/" + name)
	w.must(err)
	return strings.TrimSpace(string(b))
}

// inNamespace runs f on a thread of its own, which ends with it.
func inNamespace(n netns.NsHandle, f func() error) error {
	err := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread must not serve others
		if e := netns.Set(n); e != nil {
			err <- e
			return
		}
		err <- f()
	}()
	return <-err
}
