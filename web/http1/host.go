package http1

import "bytes"

// ValidHost says whether authority is uri-host [":" port] (RFC 9110 section 4.2), in the narrow sense that all parsers
// share: a name of letters, digits and "-._~", an IPv4 address, or an IPv6 address in brackets; and a port of 1 to 5
// digits up to 65535. RFC 3986 also allows percent escapes, "!$&'()*+,;=", an empty port and IPvFuture; no client sends
// them, and each is read differently by somebody.
func ValidHost(authority []byte) bool {
	_, port, ok := splitHost(authority)
	return ok && (port == nil || validPort(port))
}

// splitHost cuts and checks the host; port is nil if there is no colon.
func splitHost(authority []byte) (host, port []byte, ok bool) {
	end := 0
	if len(authority) > 0 && authority[0] == '[' {
		end = bytes.IndexByte(authority, ']') + 1
		if end == 0 || !validIPv6(authority[1:end-1]) {
			return nil, nil, false
		}
	} else {
		for end < len(authority) && class[authority[end]]&hostchar != 0 {
			end++
		}
	}
	switch {
	case end == 0:
		return nil, nil, false
	case end == len(authority):
		return authority, nil, true
	case authority[end] != ':':
		return nil, nil, false
	}
	return authority[:end], authority[end+1:], true
}

func validPort(p []byte) bool {
	n := 0
	for _, c := range p {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return len(p) >= 1 && len(p) <= 5 && n <= 65535
}

// validIPv6 follows IPv6address in RFC 3986 section 3.2.2: eight groups, one run of them perhaps written "::", the last two
// perhaps as IPv4. No zone: it means something on one machine only (RFC 6874 keeps it out of requests).
func validIPv6(b []byte) bool {
	groups, run := 0, false
	if bytes.HasPrefix(b, []byte("::")) {
		run, b = true, b[2:]
	}
	for len(b) > 0 {
		if groups == 8 {
			return false
		}
		n := 0
		for n < len(b) && class[b[n]]&hexdig != 0 {
			n++
		}
		if n < len(b) && b[n] == '.' {
			groups += 2
			return validIPv4(b) && (groups == 8 && !run || groups < 8 && run)
		}
		if n < 1 || n > 4 {
			return false
		}
		groups++
		b = b[n:]
		if len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return false
		}
		b = b[1:]
		if b[0] == ':' {
			if run {
				return false
			}
			run, b = true, b[1:]
		}
	}
	return groups == 8 && !run || groups < 8 && run
}

func validIPv4(b []byte) bool {
	for octet := range 4 {
		n, v := 0, 0
		for n < len(b) && n < 4 && b[n] >= '0' && b[n] <= '9' {
			v = v*10 + int(b[n]-'0')
			n++
		}
		if n < 1 || v > 255 || n > 1 && b[0] == '0' {
			return false
		}
		b = b[n:]
		if octet == 3 {
			break
		}
		if len(b) == 0 || b[0] != '.' {
			return false
		}
		b = b[1:]
	}
	return len(b) == 0
}
