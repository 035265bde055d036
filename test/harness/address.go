package harness

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
)

// ports counts what FreeAddr has given away in this process.
var ports atomic.Int32

// FreeAddr returns a host:port that nobody listens on. "Bind port 0, close, use it" gives the same port to two tests now and
// then, or to an outgoing connection. All of 127.0.0.0/8 is this machine, so each test process takes an address of its own,
// made of its process ID, and counts the ports; outgoing connections leave from 127.0.0.1.
func FreeAddr(t testing.TB) string {
	t.Helper()
	// Nobody may start a program meanwhile: between fork and exec it would hold the socket as well, and the address would not
	// be free when it is wanted.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

// listen opens a listener on a free address. It does not close one to open it again: a program that another test starts in
// between holds a copy for a moment.
func listen(t testing.TB) net.Listener {
	t.Helper()
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d", 1+pid>>16&0x7f, pid>>8&0xff, pid&0xff)
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, 10000+ports.Add(1)%50000))
		if err == nil {
			return l
		}
	}
	t.Fatalf("no free port on %s", host)
	return nil
}
