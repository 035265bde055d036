package harness

import (
	"encoding/binary"
	"net"
	"syscall"
	"testing"
)

// far is the other side of a loopback connection, as the kernel shows it. It lets a test wait for what the other process has
// done, where others would sleep and hope.
type far struct {
	state  byte // established, or another; 0 if the socket is gone
	unread int  // bytes that have come and were not yet received by the process
}

const established = 1 // TCP_ESTABLISHED; after a FIN has come it is TCP_CLOSE_WAIT

// farSide asks the kernel for the socket whose local address is our remote one, by sock_diag(7): unlike /proc/net/tcp it finds
// one socket without listing all.
//
//	nlmsghdr          length 4, type 2, flags 2, sequence 4, port 4
//	inet_diag_req_v2  family 1, protocol 1, extensions 1, padding 1, states 4
//	inet_diag_sockid  ports 2 + 2, addresses 16 + 16, interface 4, cookie 8
//
// The answer is an inet_diag_msg: family 1, state 1, timer 1, retransmits 1, inet_diag_sockid, expires 4, receive queue 4, ...
func farSide(t testing.TB, c net.Conn) far {
	t.Helper()
	const diag, byFamily, header, request, sockid = 4, 20, 16, 8, 48
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, diag)
	if err != nil {
		t.Fatalf("open sock_diag: %v", err)
	}
	defer syscall.Close(fd)
	local, remote := c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort()
	b := make([]byte, header+request+sockid)
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], byFamily)
	binary.NativeEndian.PutUint16(b[6:], syscall.NLM_F_REQUEST)
	q := b[header:]
	q[0], q[1] = syscall.AF_INET, syscall.IPPROTO_TCP
	binary.NativeEndian.PutUint32(q[4:], ^uint32(0)) // in any state
	id := q[request:]
	binary.BigEndian.PutUint16(id[0:], local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	copy(id[4:], local.Addr().AsSlice())
	copy(id[20:], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint64(id[40:], ^uint64(0)) // no cookie
	if err := syscall.Sendto(fd, b, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		t.Fatalf("ask sock_diag: %v", err)
	}
	answer := make([]byte, 4096)
	n, _, err := syscall.Recvfrom(fd, answer, 0)
	if err != nil {
		t.Fatalf("read sock_diag: %v", err)
	}
	m := answer[min(n, header):n]
	if len(m) < 4+sockid+8 || binary.NativeEndian.Uint16(answer[4:]) != byFamily {
		return far{} // an error: there is none
	}
	return far{m[1], int(binary.NativeEndian.Uint32(m[4+sockid+4:]))}
}

// Taken waits until skein has received all that was sent.
func (c *Conn) Taken() {
	c.t.Helper()
	Eventually(c.t, Patience, "skein receives", func() bool { return farSide(c.t, c.TCPConn).unread == 0 })
}

// Finished waits until the FIN that CloseWrite has sent is there.
func (c *Conn) Finished() {
	c.t.Helper()
	Eventually(c.t, Patience, "the FIN arrives", func() bool { return farSide(c.t, c.TCPConn).state != established })
}

// Arrived waits until what this origin has sent, or its FIN, lies before skein, or skein has closed the connection.
func (p *Peer) Arrived(t testing.TB) {
	t.Helper()
	Eventually(t, Patience, "the origin's bytes arrive", func() bool {
		f := farSide(t, p.TCPConn)
		return f.state != established || f.unread > 0
	})
}
