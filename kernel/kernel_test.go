package kernel

import "net/netip"

func prefixes(list ...string) []netip.Prefix {
	var p []netip.Prefix
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

type heard struct {
	payload  string
	src, dst netip.Addr
	ttl      int
	err      error
}

// hear receives on a goroutine.
func hear(s VRRPSocket) chan heard {
	c := make(chan heard, 100)
	go func() {
		defer close(c)
		for {
			b := make([]byte, 256)
			n, src, dst, ttl, err := s.Receive(b)
			c <- heard{string(b[:n]), src, dst, ttl, err}
			if err != nil {
				return
			}
		}
	}()
	return c
}

type reply struct {
	src     netip.Addr
	id, seq uint16
	err     error
}

func replies(s EchoSocket) chan reply {
	c := make(chan reply, 100)
	go func() {
		defer close(c)
		for {
			src, id, seq, err := s.Receive()
			c <- reply{src, id, seq, err}
			if err != nil {
				return
			}
		}
	}()
	return c
}
