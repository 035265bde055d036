package sock

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendPiece is how much of a file one call may send: the pace of the peer is looked at in between.
const sendPiece = 256 << 10

// CanSendFile reports whether the kernel can send a file's bytes on c by itself. Over TLS it cannot.
func CanSendFile(c *Conn) bool { return c.bare() }

// SendFile sends n bytes of a regular file, from offset on, without copying them through this process. It may be called
// wherever [Conn.Write] may; how long the peer is waited for is what [Conn.Progress] said, and goOn is asked after each step
// whether the peer is fast enough. It returns how many bytes the connection took; from says whether an error is of the file's
// side, where an end before n bytes is io.ErrUnexpectedEOF.
func SendFile(c *Conn, file int, offset, n int64, goOn func(moved int64) bool) (moved int64, from bool, err error) {
	if err := c.register(); err != nil {
		return 0, false, err
	}
	var failed error
	send := func(fd uintptr) bool {
		for {
			k, err := unix.Sendfile(int(fd), file, &offset, int(min(n-moved, sendPiece)))
			switch {
			case err == syscall.EINTR:
				continue
			case err == syscall.EAGAIN:
				return false
			case err != nil:
				failed = os.NewSyscallError("sendfile", err)
				from = err == syscall.EIO || err == syscall.EINVAL || err == syscall.EOVERFLOW
			case k == 0:
				failed, from = io.ErrUnexpectedEOF, true
			default:
				moved += int64(k)
				c.moved(k)
			}
			return true
		}
	}
	for moved < n {
		if c.Expired() {
			return moved, false, os.ErrDeadlineExceeded
		}
		c.hold()
		err := c.raw.Write(send)
		c.resume()
		if err == nil {
			err = failed
		}
		if err != nil {
			return moved, from, err
		}
		if !goOn(moved) {
			return moved, false, ErrSlow
		}
	}
	return moved, false, nil
}
