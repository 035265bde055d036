package harness

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// far is the other side of a loopback connection, as the kernel shows it. It lets a test wait for what the other process has
// done, where others would sleep and hope.
type far struct {
	state  string // "01" established, "08" close wait: a FIN has come; "" if the socket is gone
	unread int    // bytes that have come and were not yet received by the process
}

// farSide looks up the socket whose local address is our remote one.
func farSide(t testing.TB, c net.Conn) far {
	t.Helper()
	b, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	local, remote := hexAddr(c.RemoteAddr()), hexAddr(c.LocalAddr())
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 5 || f[1] != local || f[2] != remote {
			continue
		}
		_, rx, _ := strings.Cut(f[4], ":")
		n, err := strconv.ParseUint(rx, 16, 32)
		if err != nil {
			t.Fatalf("/proc/self/net/tcp: %q: %v", line, err)
		}
		return far{f[3], int(n)}
	}
	return far{}
}

// hexAddr writes an IPv4 address as /proc/net/tcp does: the bytes in the machine's order.
func hexAddr(a net.Addr) string {
	addr := a.(*net.TCPAddr).AddrPort()
	ip := addr.Addr().As4()
	return fmt.Sprintf("%08X:%s", binary.NativeEndian.Uint32(ip[:]),
		strings.ToUpper(hex.EncodeToString(binary.BigEndian.AppendUint16(nil, addr.Port()))))
}

// Taken waits until skein has received all that was sent.
func (c *Conn) Taken() {
	c.t.Helper()
	Eventually(c.t, Patience, "skein receives", func() bool { return farSide(c.t, c.TCPConn).unread == 0 })
}

// Finished waits until the FIN that CloseWrite has sent is there.
func (c *Conn) Finished() {
	c.t.Helper()
	Eventually(c.t, Patience, "the FIN arrives", func() bool { return farSide(c.t, c.TCPConn).state != "01" })
}

// Arrived waits until what this origin has sent, or its FIN, lies before skein, or skein has closed the connection.
func (p *Peer) Arrived(t testing.TB) {
	t.Helper()
	Eventually(t, Patience, "the origin's bytes arrive", func() bool {
		f := farSide(t, p.TCPConn)
		return f.state != "01" || f.unread > 0
	})
}
