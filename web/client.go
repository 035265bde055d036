package web

import (
	"net/netip"
	"strconv"
	"sync"
)

// client is who sent a request, as far as the connection tells.
type client struct {
	addr    netip.Addr
	port    uint16
	ip      string
	trusted bool // X-Forwarded-* are believed

	probe *probe // it is this process itself; nil is a visitor

	local *local // of its connection; nil if it cannot be known

	secure   bool   // over TLS
	identity []byte // complete lines that tell members of the certificate that it has shown
}

// local is where a client has connected to, found when somebody first asks: most never do, and it costs a system call.
type local struct {
	find     func() netip.AddrPort
	once     sync.Once
	addr     netip.Addr // invalid if it cannot be known
	ip, port string     // "" then
}

// address is get for those who compare.
func (l *local) address() netip.Addr {
	if l == nil {
		return netip.Addr{}
	}
	l.get()
	return l.addr
}

// get returns the address and the port.
func (l *local) get() (ip, port string) {
	if l == nil {
		return "", ""
	}
	l.once.Do(func() {
		if a := l.find(); a.IsValid() {
			l.addr = a.Addr().Unmap()
			l.ip, l.port = l.addr.String(), strconv.Itoa(int(a.Port()))
		}
	})
	return l.ip, l.port
}

// is makes c the client at a.
func (c *client) is(a netip.AddrPort) { c.addr, c.port, c.ip = a.Addr(), a.Port(), a.Addr().String() }

// scheme is http or https.
func (c *client) scheme() string {
	if c.secure {
		return "https"
	}
	return "http"
}
