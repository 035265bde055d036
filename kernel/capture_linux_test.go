package kernel

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// capture hears all frames that arrive at a link.
type capture struct {
	t  *testing.T
	fd int
}

// newCapture opens it in the namespace of the thread.
func newCapture(t *testing.T, link string) *capture {
	t.Helper()
	const all = 0x0300 // ETH_P_ALL in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	receiveBuffer(fd, 1<<22)
	index, err := indexOf(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}); err != nil {
		t.Fatal(err)
	}
	return &capture{t, fd}
}

// next is the next frame that is wanted; nil if there is none within the time.
func (c *capture) next(within time.Duration, wanted func([]byte) bool) []byte {
	c.t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); {
		b := make([]byte, 2048)
		n, from, err := unix.Recvfrom(c.fd, b, 0)
		if err == unix.EAGAIN || err == unix.EINTR {
			continue
		}
		if err != nil {
			c.t.Fatal(err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if wanted(b[:n]) {
			return b[:n]
		}
	}
	return nil
}

func isARP(b []byte) bool { return len(b) > 14 && b[12] == 0x08 && b[13] == 0x06 }

// isNA tells an ICMPv6 neighbor advertisement without extension headers.
func isNA(b []byte) bool {
	return len(b) > 54 && b[12] == 0x86 && b[13] == 0xdd && b[20] == 58 && b[54] == 136
}

func isVRRP(b []byte) bool {
	return len(b) >= 34 && b[12] == 0x08 && b[13] == 0x00 && b[23] == 112 || len(b) >= 54 && b[12] == 0x86 && b[13] == 0xdd && b[20] == 112
}
