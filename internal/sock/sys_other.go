//go:build !linux

package sock

import (
	"os"
	"syscall"
	"time"
)

// fast says that this system takes the plain path only.
const fast = false

func recv(int, []byte) (int, error)  { return 0, syscall.ENOSYS }
func write(int, []byte) (int, error) { return 0, syscall.ENOSYS }
func unacknowledged(int) int64       { return 0 }

// quiet cannot look without taking; the first read after a reuse tells.
func quiet(int) bool { return true }

// ended is never asked here: the plain path sees each end.
func ended(int) bool { return false }

func adopt(int) *os.File   { return nil }
func closeFD(int) error    { return syscall.ENOSYS }
func closeWrite(int) error { return syscall.ENOSYS }
func linger0(int) error    { return syscall.ENOSYS }

// watch does nothing here: a client that left is noticed when the answer is written.
type watch struct{}

func (*watch) open() (*watching, error) { return nil, os.ErrInvalid }
func (*watch) add(*Conn)                {}
func (*watch) remove(*Conn)             {}

type watching struct{}

func (*watching) run()         {}
func (*watching) Close() error { return nil }

// pipes does not exist here.
type pipes struct{}

func (*pipes) close() {}

// CanSplice is never true here.
func CanSplice(*Conn, *Conn) bool { return false }

// Splice is never called here.
func Splice(*Conn, *Conn, int64, time.Duration, func(int64) bool) (int64, bool, error) {
	return 0, false, os.ErrInvalid
}
