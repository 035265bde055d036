package speaker

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"skein/kernel"
)

// ErrNoChannel says that the process was not started by a balancer.
var ErrNoChannel = errors.New("descriptor 3 is no channel to a balancer")

// channelDescriptor is where the parent puts the speaker's end.
const channelDescriptor = 3

// maxProcs: one for the goroutine that speaks, one for the hands in a slow system call, one for a disk. A goroutine in a system
// call holds its processor until the runtime notices, which takes up to 10 ms.
const maxProcs = 3

// Serve is the process: it speaks for the parent at the other end of descriptor 3 until that says so or is gone.
//
// The process starts twice, by exec. The first time it takes the priority and then throws away all rights that it does not need;
// as rights belong to threads and a Go program has several, only the second program is sure to have them nowhere. confine are
// the arguments that start it: args[0] and so on; nil means that this is the second time.
func Serve(confine []string, out io.Writer) error {
	if !isChannel(channelDescriptor) {
		return ErrNoChannel
	}
	deafen()
	if confine != nil {
		err := restart(confine)
		// Without /proc there is no way to do it; to have an owner of the address counts more.
		slog.New(slog.NewTextHandler(out, nil)).Warn("the speaker keeps rights that it does not need", "error", err)
	}
	_ = os.WriteFile("/proc/self/comm", []byte("skein-speaker"), 0) // for ps: exec named it exe
	f := os.NewFile(channelDescriptor, "channel")
	c, err := NewChannel(f)
	_ = f.Close()
	if err != nil {
		return err
	}
	// The heap is some megabytes, and a collection costs a part of a processor for a millisecond: seldom, and never out of bounds.
	runtime.GOMAXPROCS(maxProcs)
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(128 << 20)
	network := kernel.New()
	defer network.Close()
	s := New(network, c, Options{
		Realtime: isRealtime(),
		ID:       uint16(os.Getpid()),
		Err:      out,
		Process: func(pid int) (Process, error) {
			p, err := kernel.OpenProcess(pid)
			if err != nil {
				return nil, err
			}
			return p, nil
		},
	})
	if !s.o.Realtime {
		s.log(slog.LevelInfo, "the speaker has no real-time priority: on a busy machine advertisements may be late",
			"hint", "run as root or grant CAP_SYS_NICE")
	}
	s.Run()
	return nil
}

// isChannel tells whether the descriptor is what a parent would give.
func isChannel(fd int) bool {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return false
	}
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && domain == unix.AF_UNIX
}

// deafen makes the process obey its parent only. A service manager that stops everything at once would otherwise end the speaker
// before the balancer has handed over, and a terminal's Ctrl-C reaches every process of its group. $SKEIN_DEBUG lets SIGQUIT
// print what all goroutines do, and end the process.
func deafen() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	if os.Getenv("SKEIN_DEBUG") == "" {
		signal.Ignore(syscall.SIGQUIT)
	}
	_, _ = syscall.Setsid() // an error says that it leads its session already
}

// restart starts this program again, in the same process, with real-time priority and without rights. It returns only if that
// fails.
func restart(args []string) error {
	_ = kernel.Realtime() // the second program says if it has none; exec keeps it, as all its threads inherit it
	if err := forgetDescriptors(); err != nil {
		return err
	}
	runtime.LockOSThread() // whose rights exec keeps
	defer runtime.UnlockOSThread()
	if err := forgetRights(); err != nil {
		return err
	}
	return fmt.Errorf("start again: %w", unix.Exec("/proc/self/exe", args, os.Environ()))
}

// forgetDescriptors makes exec close what was inherited beside the standard streams and the channel.
func forgetDescriptors() error {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("close inherited files: %w", err)
	}
	for _, f := range list {
		if fd, err := strconv.Atoi(f.Name()); err == nil && fd > channelDescriptor {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// forgetRights leaves this thread what the speaker needs: CAP_NET_ADMIN for addresses and CAP_NET_RAW for sockets. It parses
// packets of strangers.
func forgetRights() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	const needed = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW
	keep := data[0].Permitted & needed
	// For root, exec would give back all that is in the bounding set. Who may not change that set (CAP_SETPCAP) is held by
	// no_new_privs, or was bounded before.
	for c := range 64 {
		if keep&(1<<c) == 0 {
			_ = unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		}
	}
	data = [2]unix.CapUserData{{Effective: keep, Permitted: keep, Inheritable: keep}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	for _, c := range []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW} { // so that exec keeps them for others than root
		if keep&(1<<c) != 0 {
			_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}

// isRealtime tells whether this process was given real-time priority.
func isRealtime() bool {
	a, err := unix.SchedGetAttr(0, 0)
	return err == nil && a.Policy == unix.SCHED_RR
}
