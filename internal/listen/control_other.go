//go:build !linux

package listen

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// control has nothing to set here.
func control(string, string, syscall.RawConn) error { return nil }

// controlPacket has nothing to set here.
func controlPacket(string, string, syscall.RawConn) error { return nil }

// send sends without waiting; descriptors of the net package never wait.
func send(fd int, b []byte) error { return unix.Sendto(fd, b, unix.MSG_DONTWAIT, nil) }
