package sock

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fast says that this system can write and then park.
const fast = true

// recv receives without waiting. The socket is non-blocking, so the call is short: it is made without telling the scheduler,
// which saves its bookkeeping on each request.
func recv(fd int, p []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		if e == 0 {
			return int(n), nil
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

// quiet reports whether nothing, not even an end or an error, is waiting to be received.
func quiet(fd int) bool {
	var b [1]byte
	_, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return e == syscall.EAGAIN
}

// ended reports whether the peer's end is the next thing to be received.
func ended(fd int) bool {
	var b [1]byte
	n, _, e := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return e == 0 && n == 0
}

// write sends what the socket takes without waiting, as recv receives. Telling the scheduler of each of these calls would
// also keep its monitor thread awake, which costs more than the calls' own bookkeeping.
func write(fd int, p []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
		if e == 0 {
			return int(n), nil
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

// unacknowledged is how many bytes of a socket's send queue the peer has not acknowledged; 0 if it cannot be known.
func unacknowledged(fd int) int64 {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return int64(n)
}

// adopt puts a non-blocking descriptor into the run time's poller.
func adopt(fd int) *os.File { return os.NewFile(uintptr(fd), "socket") }

// closeFD closes a descriptor that never was in the poller. The scheduler is not told: a close of a socket does not wait.
func closeFD(fd int) error {
	if _, _, e := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); e != 0 {
		return os.NewSyscallError("close", e)
	}
	return nil
}

func closeWrite(fd int) error { return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_WR)) }

func linger0(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
}
