package web

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// What begins a PROXY protocol header. Version 2, haproxy's proxy-protocol.txt section 2.2:
//
//	12 bytes  signature
//	 1 byte   version and command
//	 1 byte   address family and transport
//	 2 bytes  length of what follows: addresses, then TLVs
//
// Version 1 (section 2.1) is one line: PROXY TCP4 SRC DST SPORT DPORT CR LF, at most 107 bytes.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyLine      = "PROXY "
	maxProxyLine   = 107
	// maxProxyHeader bounds version 2: addresses need 36 bytes (IPv6), and balancers' TLVs a few hundred.
	maxProxyHeader = 4 << 10
)

// errNoProxy is a peer that should say for whom it speaks and does not.
var errNoProxy = errors.New("the connection does not begin with a PROXY protocol header")

// readProxy reads a PROXY header, and not one byte of what follows. An invalid address says that the peer speaks for itself
// (LOCAL, UNKNOWN): a health check of the balancer in front.
func readProxy(r io.Reader) (client netip.AddrPort, err error) {
	head := make([]byte, 16, 128)
	// Both versions have at least 15 bytes ("PROXY UNKNOWN" and its line end), so this reads not too far.
	if _, err := io.ReadFull(r, head[:15]); err != nil {
		return client, err
	}
	switch {
	case bytes.HasPrefix(head, []byte(proxySignature)):
		if _, err := io.ReadFull(r, head[15:16]); err != nil {
			return client, err
		}
		n := int(binary.BigEndian.Uint16(head[14:16]))
		if n > maxProxyHeader {
			return client, fmt.Errorf("a PROXY header of %d bytes is longer than %d", n, maxProxyHeader)
		}
		head = append(head, make([]byte, n)...)
		if _, err := io.ReadFull(r, head[16:]); err != nil {
			return client, err
		}
	case bytes.HasPrefix(head, []byte(proxyLine)):
		for head = head[:15]; !bytes.HasSuffix(head, []byte("\r\n")); {
			if len(head) == maxProxyLine {
				return client, errors.New("a PROXY line is longer than 107 bytes")
			}
			head = append(head, 0)
			if _, err := io.ReadFull(r, head[len(head)-1:]); err != nil {
				return client, err
			}
		}
	default:
		return client, errNoProxy
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return client, err
	}
	if h.Command.IsLocal() {
		return netip.AddrPort{}, nil
	}
	if h.TransportProtocol.IsDatagram() {
		return client, errors.New("a PROXY header speaks of datagrams on a TCP connection")
	}
	if a, ok := h.SourceAddr.(*net.TCPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
	}
	return netip.AddrPort{}, nil
}

// greet writes the PROXY header, version 2, that tells a member for whom a connection is. Of a visitor behind trusted proxies
// only the address is known. Where one side is IPv4 and the other IPv6, the header has the former as ::ffff:a.b.c.d: it knows
// one family only.
func (x *exchange) greet(nc net.Conn) error {
	from := netip.AddrPortFrom(x.line.visitor, x.client.port)
	if x.line.visitor != x.client.addr {
		from = netip.AddrPortFrom(x.line.visitor, 0)
	}
	_, err := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(from), destination(nc, from.Addr())).WriteTo(nc)
	return err
}

// destination is the other end of nc. A unix socket has no address that goes with a client's: zeros of its family stand there.
func destination(nc net.Conn, from netip.Addr) *net.TCPAddr {
	if to, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return to
	}
	if from.Is4() {
		return &net.TCPAddr{IP: net.IPv4zero}
	}
	return &net.TCPAddr{IP: net.IPv6zero}
}
