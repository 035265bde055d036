package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// space is a network namespace with threads in it. The namespace has no name; it lasts as long as its descriptor, a thread or a
// process in it.
//
// A thread's work is done by a goroutine that is locked to it and lasts until the space is closed. That is more than an
// economy: Pdeathsig (prctl(2)) is sent when the THREAD that has started a program ends, so that a program started by a thread of
// the moment would be killed after some harmless while.
type space struct {
	name  string
	net   netns.NsHandle
	mount int             // descriptor of a mount namespace whose /sys shows this network
	route *netlink.Handle // any thread may use it

	mu     sync.Mutex // guards the rest
	idle   []thread
	all    []thread
	closed bool
}

type thread chan func()

// newSpace makes a namespace with lo up.
func newSpace(name string) (*space, error) {
	s := &space{name: name, net: netns.None(), mount: -1}
	first, err := s.spawn(s.create)
	if err != nil {
		s.close()
		return nil, err
	}
	s.all, s.idle = []thread{first}, []thread{first}
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo", Index: 1}}
	if err := s.route.LinkSetUp(lo); err != nil {
		s.close()
		return nil, fmt.Errorf("set lo up: %w", err)
	}
	return s, nil
}

// create is the first thread's way into the namespace.
func (s *space) create() (err error) {
	// A mount of sysfs shows the network namespace of who mounted it, whoever looks; /proc/sys/net shows that of who looks.
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare the mounts: %w", err)
	}
	if s.net, err = netns.New(); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	if s.mount, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open the mount namespace: %w", err)
	}
	if s.route, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	return nil
}

// enter is every other thread's.
func (s *space) enter() error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // setns(2) demands it for mounts
		return fmt.Errorf("unshare the directory: %w", err)
	}
	if err := unix.Setns(s.mount, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter the mounts of %s: %w", s.name, err)
	}
	if err := unix.Chdir(dir); err != nil { // setns has gone to the root
		return err
	}
	if err := netns.Set(s.net); err != nil {
		return fmt.Errorf("enter the network of %s: %w", s.name, err)
	}
	return nil
}

// spawn starts a thread, which does what is sent to it. It is never unlocked, so that it ends with its goroutine and no other
// goroutine ever runs in the wrong namespace.
func (s *space) spawn(in func() error) (thread, error) {
	work, ready := make(thread), make(chan error, 1)
	onThread(func() {
		err := errors.Join(unix.Setpriority(unix.PRIO_PROCESS, 0, 0), in()) // what it starts shall not be favored, see [favor]
		ready <- err
		if err != nil {
			return
		}
		for f := range work {
			f()
		}
	})
	return work, <-ready
}

// onThread calls f by a goroutine that has a thread of its own, which ends with it. It is never the process' first thread, which
// cannot end before the process does, and whose namespaces are what /proc shows as those of the process.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			f()
		}()
		<-locked // until then this thread is taken
		runtime.UnlockOSThread()
	}()
}

// favor gives the threads of this process, and those that these start, more of the CPUs than the programs in hosts have. They
// observe: who asks every 5 ms from a machine of his own would not be late because balancers are busy. Without CAP_SYS_NICE it
// does nothing.
func favor() error {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			return err
		}
		switch err := unix.Setpriority(unix.PRIO_PROCESS, id, -15); err {
		case nil, unix.ESRCH, unix.EACCES, unix.EPERM:
		default:
			return fmt.Errorf("set the priority of thread %d: %w", id, err)
		}
	}
	return nil
}

// do calls f on a thread in the namespace, and may be called from any goroutine, also within f.
func (s *space) do(f func() error) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return fmt.Errorf("host %s is gone", s.name)
	}
	var t thread
	if n := len(s.idle); n > 0 {
		t, s.idle = s.idle[n-1], s.idle[:n-1]
	}
	s.mu.Unlock()
	if t == nil {
		var err error
		if t, err = s.spawn(s.enter); err != nil {
			return err
		}
		s.mu.Lock()
		s.all = append(s.all, t)
		s.mu.Unlock()
	}
	// Whoever leaves f by runtime.Goexit (t.FailNow does) takes the thread along; it must not take the caller's answer, too.
	err := errors.New("the function has ended its goroutine; t.Fatal belongs outside of Do")
	var panicked any
	returned := false
	done := make(chan struct{})
	t <- func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				panicked = fmt.Sprintf("%v\n%s", r, debug.Stack())
			}
		}()
		err = f()
		returned = true
	}
	<-done
	if panicked != nil {
		panic(panicked)
	}
	if returned {
		s.mu.Lock()
		s.idle = append(s.idle, t)
		s.mu.Unlock()
	}
	return err
}

// close ends the threads and lets go of the namespace. The kernel takes it down when the last process in it has ended.
func (s *space) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, t := range s.all {
		close(t)
	}
	if s.route != nil {
		s.route.Close()
	}
	if s.net.IsOpen() {
		s.net.Close()
	}
	if s.mount >= 0 {
		unix.Close(s.mount)
	}
}

// processes finds every process in the namespace, whatever group or session it has gone to.
func (s *space) processes() ([]int, error) {
	var own unix.Stat_t
	if err := unix.Fstat(int(s.net), &own); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil || id == os.Getpid() {
			continue
		}
		var other unix.Stat_t
		if unix.Stat(filepath.Join("/proc", e.Name(), "ns/net"), &other) == nil && other.Ino == own.Ino && other.Dev == own.Dev {
			found = append(found, id)
		}
	}
	return found, nil
}

// signal sends a signal to every process in the namespace and returns how many there were.
func (s *space) signal(sig unix.Signal) (int, error) {
	ids, err := s.processes()
	for _, id := range ids {
		unix.Kill(id, sig)
	}
	return len(ids), err
}

// kill ends every process in the namespace and waits until they are gone. One that has ended and that nobody has waited for
// is in no namespace any more.
func (s *space) kill() error {
	end := time.Now().Add(patience)
	for {
		n, err := s.signal(unix.SIGKILL)
		if n == 0 || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes did not end by SIGKILL", n)
		}
		time.Sleep(time.Millisecond)
	}
}

// sysctl writes a setting to files below /proc/sys, for the network namespace of the calling thread.
func sysctl(value string, names ...string) error {
	for _, n := range names {
		if err := os.WriteFile(filepath.Join("/proc/sys", n), []byte(value), 0); err != nil {
			return fmt.Errorf("set %s: %w", n, err)
		}
	}
	return nil
}
