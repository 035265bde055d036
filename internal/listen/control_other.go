//go:build !linux

package listen

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// control has nothing to set here.
func control(string, string, syscall.RawConn) error { return nil }

// controlPacket has nothing to set here.
func controlPacket(string, string, syscall.RawConn) error { return nil }

// send sends without waiting; descriptors of the net package never wait.
func send(fd int, b []byte) error { return unix.Sendto(fd, b, unix.MSG_DONTWAIT, nil) }

// pair is not possible: without SOCK_SEQPACKET nobody is told when a process ends.
func pair() (*net.UnixConn, int, error) {
	return nil, -1, fmt.Errorf("hand over sockets: %w on this system\nhint: restart skein instead", errors.ErrUnsupported)
}
