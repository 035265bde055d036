package web

import (
	"bytes"
	"net/netip"
	"strconv"

	"skein/web/http1"
)

// appendRequest writes the head that a member gets. Framing and connection fields are ours, not the client's; fields that say
// who the client is are believed only from trusted peers and always written after the hop-by-hop ones are gone, so that no
// Connection field can name them away.
func (x *exchange) appendRequest(b []byte) []byte {
	e := &x.route.request
	b = append(b, x.method...)
	b = append(b, ' ')
	b = x.appendURI(b)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if e.host != nil {
		b = append(b, e.host...)
	} else {
		b = append(b, x.authority...)
	}
	b = append(b, '\r', '\n')
	b = x.appendPassed(b)
	switch {
	case x.length > 0 || x.length == 0 && wantsLength(x.method):
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, x.length, 10)
		b = append(b, '\r', '\n')
	case x.length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if x.expect {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	switch {
	case x.upgrade != nil:
		b = append(b, "Connection: upgrade\r\nUpgrade: "...)
		b = append(b, x.upgrade...)
		b = append(b, '\r', '\n')
	case x.trailers:
		b = append(b, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	b = append(b, e.append...)
	return append(b, '\r', '\n')
}

// appendURI writes the path and the query that a member gets.
func (x *exchange) appendURI(b []byte) []byte {
	path := x.path
	if s := x.route.strip; len(s) > 0 && bytes.HasPrefix(path, s) {
		path = path[len(s):]
		if len(path) == 0 || path[0] != '/' {
			b = append(b, '/')
		}
	}
	b = append(b, path...)
	if x.query != nil {
		b = append(b, '?')
		b = append(b, x.query...)
	}
	return b
}

// appendPassed writes, as lines, the client's fields that go to a member by any protocol, and what we say of the client.
func (x *exchange) appendPassed(b []byte) []byte {
	e := &x.route.request
	trusted := x.client.trusted
	for i := range x.fields {
		f := &x.fields[i]
		if f.ID != http1.Other {
			switch kindOf(f.ID) {
			case perHop, framed:
				continue
			case forwarded:
				if !trusted || x.ours(f.ID) {
					continue
				}
			}
		} else if x.underscored(f.Name) || (!trusted || x.client.identity != nil) && claimsIdentity(f.Name) {
			continue
		}
		if x.hops.n > 0 && x.hops.has(f.Name) || len(e.drop) > 0 && e.dropsField(f.Name) {
			continue
		}
		b = appendField(b, f.Name, f.Value)
	}
	b = x.appendForwarded(b)
	return append(b, x.client.identity...)
}

// wantsLength says that a request without a body should say so (RFC 9110 section 8.6).
func wantsLength(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

// underscored reports whether a name is dropped because CGI and its heirs cannot tell its underscore from a dash: with it a
// client could write fields that we promise to write ourselves.
func (x *exchange) underscored(name []byte) bool {
	return bytes.IndexByte(name, '_') >= 0 && !x.site.cfg.Underscores
}

// ours reports whether a forwarded field is written by us, and so not passed on even for a trusted peer.
func (x *exchange) ours(id http1.ID) bool {
	switch id {
	case http1.XForwardedFor:
		return x.site.cfg.Forward == "x" || x.site.cfg.Forward == "both"
	case http1.Forwarded:
		return x.site.cfg.Forward == "rfc7239" || x.site.cfg.Forward == "both"
	}
	return false
}

// appendForwarded adds our own step to the fields that say where a request came from. A trusted peer's list goes on, a
// stranger's was dropped. What the route removes or sets itself is not written.
func (x *exchange) appendForwarded(b []byte) []byte {
	mode := x.site.cfg.Forward
	c := x.client
	e := &x.route.request
	if mode == "x" || mode == "both" {
		if !e.drops("x-forwarded-for") {
			b = append(b, "X-Forwarded-For: "...)
			if c.trusted {
				b = x.appendList(b, http1.XForwardedFor)
			}
			b = append(b, c.ip...)
			b = append(b, '\r', '\n')
		}
		if !x.told(http1.XForwardedProto) && !e.drops("x-forwarded-proto") {
			b = appendField(b, "X-Forwarded-Proto", x.scheme)
		}
		if len(x.authority) > 0 && !x.told(http1.XForwardedHost) && !e.drops("x-forwarded-host") {
			b = appendField(b, "X-Forwarded-Host", x.authority)
		}
	}
	if (mode == "rfc7239" || mode == "both") && !e.drops("forwarded") {
		b = append(b, "Forwarded: "...)
		if c.trusted {
			b = x.appendList(b, http1.Forwarded)
		}
		b = append(b, "for="...)
		if c.addr.Is6() {
			b = append(b, `"[`...)
			b = append(b, c.ip...)
			b = append(b, `]"`...)
		} else {
			b = append(b, c.ip...)
		}
		if len(x.authority) > 0 {
			// An authority was checked to hold nothing that a quoted string must escape (RFC 7239 section 4).
			b = append(b, `;host="`...)
			b = append(b, x.authority...)
			b = append(b, '"')
		}
		b = append(b, ";proto="...)
		b = append(b, x.scheme...)
		b = append(b, '\r', '\n')
	}
	return b
}

// told reports whether a trusted peer's field of that name goes on to the member, so that ours must not be written. One that
// its Connection field names does not.
func (x *exchange) told(id http1.ID) bool {
	if !x.client.trusted {
		return false
	}
	for i := range x.fields {
		if f := &x.fields[i]; f.ID == id && !x.hops.has(f.Name) {
			return true
		}
	}
	return false
}

// appendList writes all lines of a list field as one, with a comma at the end.
func (x *exchange) appendList(b []byte, id http1.ID) []byte {
	for i := range x.fields {
		if f := &x.fields[i]; f.ID == id && len(f.Value) > 0 && !x.hops.has(f.Name) {
			b = append(b, f.Value...)
			b = append(b, ", "...)
		}
	}
	return b
}

// visitor is the address that the request began at: from the right of X-Forwarded-For, the first that is not one of our
// trusted proxies. The left end is whatever the visitor likes to write.
func (x *exchange) visitor() netip.Addr {
	c := x.client
	if !c.trusted {
		return c.addr
	}
	found := c.addr
	for i := len(x.fields) - 1; i >= 0; i-- {
		f := &x.fields[i]
		if f.ID != http1.XForwardedFor {
			continue
		}
		v := f.Value
		for len(v) > 0 {
			j := bytes.LastIndexByte(v, ',')
			a, err := netip.ParseAddr(string(bytes.Trim(v[j+1:], " \t")))
			if err != nil {
				return found
			}
			found = a.Unmap()
			if !x.table.trusts(found) {
				return found
			}
			v = v[:max(j, 0)]
		}
	}
	return found
}

// passes reports whether a field of an answer goes to the client as it is, in whichever version.
func (a *answer) passes(f *Field) bool {
	if f.ID != http1.Other {
		if k := kindOf(f.ID); k == perHop || f.ID == http1.ContentLength || f.ID == http1.TransferEncoding {
			return false
		}
	}
	return (a.hops == nil || a.hops.n == 0 || !a.hops.has(f.Name)) && (a.edits == nil || len(a.edits.drop) == 0 || !a.edits.dropsField(f.Name))
}

// appendAnswer writes an HTTP/1.1 answer's head. Framing is the caller's: it follows as frame, complete lines.
func appendAnswer(b []byte, a *answer, frame string) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	b = append(b, ' ')
	if a.reason != nil {
		b = append(b, a.reason...)
	} else {
		b = append(b, reason(a.status)...)
	}
	b = append(b, '\r', '\n')
	for i := range a.fields {
		if f := &a.fields[i]; a.passes(f) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	if a.edits != nil {
		b = append(b, a.edits.append...)
	}
	b = append(b, a.extra...)
	return append(b, frame...)
}
