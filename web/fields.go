package web

import (
	"bytes"
	"strings"

	"skein/config"
	"skein/web/http1"
)

// Field is one header field, of whichever HTTP version.
type Field = http1.Field

// edits are a route's changes to a head, ready to be carried out.
type edits struct {
	drop   []string // lower case: what is removed or set
	append []byte   // "name: value CRLF" of what is set and added
	host   []byte   // Host is not a field among others: setting it changes the authority
}

func newEdits(c config.HeaderEdits) edits {
	var e edits
	for _, n := range c.Remove {
		e.drop = append(e.drop, strings.ToLower(n))
	}
	for _, f := range c.Set {
		if http1.Lookup([]byte(f.Name)) == http1.Host {
			e.host = []byte(f.Value)
			continue
		}
		e.drop = append(e.drop, strings.ToLower(f.Name))
		e.append = appendField(e.append, f.Name, f.Value)
	}
	for _, f := range c.Add {
		e.append = appendField(e.append, f.Name, f.Value)
	}
	return e
}

// also sets a field, unless something else is said of it already.
func (e *edits) also(name, value string) {
	if low := strings.ToLower(name); !e.drops(low) {
		e.drop = append(e.drop, low)
		e.append = appendField(e.append, name, value)
	}
}

// drops reports whether the field is removed or replaced.
func (e *edits) drops(name string) bool {
	for _, d := range e.drop {
		if d == name {
			return true
		}
	}
	return false
}

// dropsField is drops for a name as it was received.
func (e *edits) dropsField(name []byte) bool {
	for _, d := range e.drop {
		if equalFold(d, name) {
			return true
		}
	}
	return false
}

// equalFold compares a lower-case name with any.
func equalFold(low string, name []byte) bool {
	if len(low) != len(name) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != low[i] {
			return false
		}
	}
	return true
}

func appendField[N, V ~string | ~[]byte](b []byte, name N, value V) []byte {
	b = append(b, name...)
	b = append(b, ':', ' ')
	b = append(b, value...)
	return append(b, '\r', '\n')
}

// maxHops is how many fields the Connection field may name. Honest messages name none or two.
const maxHops = 16

// hops are the fields that Connection names beside the known ones: they belong to one hop and go no further (RFC 9110
// section 7.6.1).
type hops struct {
	n     int
	names [maxHops][]byte // lower case is not promised
}

// collect reads all Connection lines of fields; false if they name more than anybody needs.
func (h *hops) collect(fields []Field) bool {
	h.n = 0
	for i := range fields {
		if fields[i].ID != http1.Connection {
			continue
		}
		v := fields[i].Value
		if s := string(v); s == "keep-alive" || s == "close" {
			continue // nearly always
		}
		for t := range http1.Tokens(v) {
			switch http1.Lookup(t) {
			case http1.Other:
			case http1.Upgrade, http1.TE, http1.KeepAlive, http1.ProxyConnection, http1.HTTP2Settings:
				continue // dropped anyway
			}
			if bytes.EqualFold(t, []byte("close")) || bytes.EqualFold(t, []byte("keep-alive")) {
				continue
			}
			if h.n == maxHops {
				return false
			}
			h.names[h.n] = t
			h.n++
		}
	}
	return true
}

// has reports whether a field was named.
func (h *hops) has(name []byte) bool {
	for i := range h.n {
		if bytes.EqualFold(h.names[i], name) {
			return true
		}
	}
	return false
}

// claimsIdentity reports whether a field says which TLS certificate a client has shown: what only we, or a trusted proxy, may
// say (RFC 9440 section 2.4).
func claimsIdentity(name []byte) bool {
	if len(name) > 0 && name[0]|0x20 == 'x' {
		return len(name) >= len("x-client-cert") && (equalFold("x-client-cert", name[:len("x-client-cert")]) || equalFold("x-client-verify", name))
	}
	return len(name) >= len("client-cert") && equalFold("client-cert", name[:len("client-cert")])
}

// kind says what is done with a field before any rule of the configuration.
type kind uint8

const (
	passOn    kind = iota
	perHop         // never forwarded
	framed         // written anew by whoever writes the head
	forwarded      // says who the client is: only trusted peers may
)

// kindOf classifies a field by its name.
func kindOf(id http1.ID) kind {
	switch id {
	case http1.Connection, http1.KeepAlive, http1.ProxyConnection, http1.ProxyAuthenticate, http1.ProxyAuthorization,
		http1.TE, http1.Trailer, http1.Upgrade, http1.HTTP2Settings:
		return perHop
	case http1.Host, http1.ContentLength, http1.TransferEncoding, http1.Expect:
		return framed
	case http1.XForwardedFor, http1.XForwardedProto, http1.XForwardedHost, http1.XForwardedPort, http1.XForwardedPrefix,
		http1.XForwardedServer, http1.XRealIP, http1.Forwarded:
		return forwarded
	}
	return passOn
}
