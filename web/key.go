package web

import (
	"bytes"
	"strconv"
	"strings"

	"skein/config"
	"skein/pool"
	"skein/web/http1"
)

// key hashes what the pool's policy wants of a request; 0 for policies that want nothing.
func (x *exchange) key(c config.Policy) pool.Key {
	switch c.Name {
	case "ip_hash":
		return x.clientKey()
	case "hash", "maglev":
	default:
		return 0
	}
	switch c.Key.Kind {
	case "uri":
		k := pool.Hash(x.path)
		if x.query != nil {
			k = pool.Key(pool.Mix(k, uint64(pool.Hash(x.query))))
		}
		return k
	case "host":
		return pool.Hash(bytes.ToLower(hostOf(x.authority)))
	case "header":
		return pool.Hash(x.named(c.Key.Name))
	case "cookie":
		return pool.Hash(x.cookie(c.Key.Name))
	case "query":
		return pool.Hash(x.parameter(c.Key.Name))
	}
	return x.clientKey()
}

func (x *exchange) clientKey() pool.Key {
	a := x.line.visitor.As16()
	return pool.Hash(a[:])
}

// named returns the value of the first field of that name.
func (x *exchange) named(name string) []byte {
	for i := range x.fields {
		if f := &x.fields[i]; len(f.Name) == len(name) && strings.EqualFold(string(f.Name), name) {
			return f.Value
		}
	}
	return nil
}

// cookie returns the value of the first cookie of that name (RFC 6265 section 4.2.1).
func (x *exchange) cookie(name string) []byte {
	for i := range x.fields {
		if x.fields[i].ID != http1.Cookie {
			continue
		}
		for pair := range bytes.SplitSeq(x.fields[i].Value, []byte{';'}) {
			pair = bytes.TrimLeft(pair, " \t")
			if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
				return bytes.TrimRight(pair[len(name)+1:], " \t")
			}
		}
	}
	return nil
}

// parameter returns the value of the first query parameter of that name, as it was sent.
func (x *exchange) parameter(name string) []byte {
	for pair := range bytes.SplitSeq(x.query, []byte{'&'}) {
		if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
			return pair[len(name)+1:]
		}
	}
	return nil
}

// stuck returns the usable member that the visitor's cookie names, nil if it names none: then the policy picks another, and
// the cookie is replaced.
func (x *exchange) stuck(p *pool.Pool, s *config.Sticky) *pool.Member {
	v := x.cookie(s.Cookie)
	if len(v) != 16 {
		return nil
	}
	h, err := strconv.ParseUint(string(v), 16, 64)
	if err != nil {
		return nil
	}
	return p.Sticky(h)
}

// stickyCookie names a member without telling its address.
func stickyCookie(s *config.Sticky, m *pool.Member, scheme string) []byte {
	v := strconv.FormatUint(m.Hash, 16)
	b := append([]byte("Set-Cookie: "), s.Cookie...)
	b = append(b, '=')
	b = append(b, "0000000000000000"[:16-len(v)]...)
	b = append(b, v...)
	b = append(b, "; Path="...)
	b = append(b, s.Path...)
	if s.Domain != "" {
		b = append(b, "; Domain="...)
		b = append(b, s.Domain...)
	}
	if s.MaxAge > 0 {
		b = append(b, "; Max-Age="...)
		b = strconv.AppendInt(b, int64(s.MaxAge.Seconds()), 10)
	}
	b = append(b, "; HttpOnly; SameSite=Lax"...)
	if scheme == "https" {
		b = append(b, "; Secure"...)
	}
	return append(b, '\r', '\n')
}
