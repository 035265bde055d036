package web

import (
	"bytes"
	"strconv"

	"skein/web/fastcgi"
	"skein/web/http1"
)

// appendParams adds the parameters that a script gets: those of nginx's fastcgi_params, which PHP programs know, the fields of
// the request as HTTP_*, and the configuration's own at the end, since the last of one name counts. scratch is returned for
// the next time.
//
// The fields are the very lines that an HTTP member would get, edits and forwarding included, so that no rule about them is
// written twice.
func (x *exchange) appendParams(p *fastcgi.Params, scratch []byte) []byte {
	s := &x.script
	prefix := x.route.strip
	fastcgi.Add(p, "GATEWAY_INTERFACE", "CGI/1.1")
	fastcgi.Add(p, "SERVER_SOFTWARE", "skein")
	fastcgi.Add(p, "REDIRECT_STATUS", "200") // PHP built with force-cgi-redirect wants to see that a server asks
	fastcgi.Add(p, "REQUEST_METHOD", x.method)
	fastcgi.Add(p, "SERVER_PROTOCOL", x.proto)
	fastcgi.Add(p, "QUERY_STRING", x.query)
	joined(p, "REQUEST_URI", x.path, x.uriQuery())
	joined(p, "SCRIPT_NAME", prefix, s.name)
	joined(p, "SCRIPT_FILENAME", s.root, s.name)
	joined(p, "DOCUMENT_URI", append(prefix[:len(prefix):len(prefix)], s.name...), s.info)
	fastcgi.Add(p, "DOCUMENT_ROOT", s.root)
	if len(s.info) > 0 {
		fastcgi.Add(p, "PATH_INFO", s.info)
	}
	x.addPeers(p)
	var room [24]byte
	length := room[:0]
	if x.length > 0 || x.length == 0 && wantsLength(x.method) {
		length = strconv.AppendInt(length, x.length, 10)
	}
	fastcgi.Add(p, "CONTENT_LENGTH", length)
	e := &x.route.request
	host := x.authority
	if e.host != nil {
		host = e.host
	}
	b := append(x.appendPassed(scratch), e.append...)
	addFields(p, b, host)
	for i := range x.route.files.cfg.Params {
		own := &x.route.files.cfg.Params[i]
		fastcgi.Add(p, own.Name, own.Value)
	}
	return b[:0]
}

// uriQuery is the query with its question mark, in the exchange's scratch.
func (x *exchange) uriQuery() []byte {
	if x.query == nil {
		return nil
	}
	return append([]byte{'?'}, x.query...)
}

// joined adds a parameter whose value has two parts.
func joined[A, B ~string | ~[]byte](p *fastcgi.Params, name string, a A, b B) {
	p.Lengths(len(name), len(a)+len(b))
	p.Buf = append(append(append(p.Buf, name...), a...), b...)
}

// addPeers says who the visitor is and what he has connected to. Behind a trusted proxy, the address and the scheme are those
// that it tells.
func (x *exchange) addPeers(p *fastcgi.Params) {
	port := ""
	if x.line.visitor == x.client.addr {
		fastcgi.Add(p, "REMOTE_ADDR", x.client.ip)
		if x.client.port > 0 {
			port = strconv.Itoa(int(x.client.port))
		}
	} else {
		fastcgi.Add(p, "REMOTE_ADDR", x.line.visitor.String())
	}
	fastcgi.Add(p, "REMOTE_PORT", port)
	address, own := x.client.local.get()
	switch {
	case own != "":
	case bytes.IndexByte(x.authority[len(hostOf(x.authority)):], ':') == 0: // what the visitor has connected to cannot be known, but he says it
		own = string(x.authority[len(hostOf(x.authority))+1:])
	case x.scheme == "https":
		own = "443"
	default:
		own = "80"
	}
	fastcgi.Add(p, "SERVER_ADDR", address)
	fastcgi.Add(p, "SERVER_PORT", own)
	fastcgi.Add(p, "SERVER_NAME", bytes.ToLower(hostOf(x.authority)))
	scheme := x.toldScheme()
	fastcgi.Add(p, "REQUEST_SCHEME", scheme)
	if scheme == "https" {
		fastcgi.Add(p, "HTTPS", "on")
	}
}

// toldScheme is the scheme that the visitor uses, as far as trusted proxies know it.
func (x *exchange) toldScheme() string {
	if x.client.trusted {
		for i := len(x.fields) - 1; i >= 0; i-- {
			f := &x.fields[i]
			if f.ID != http1.XForwardedProto || x.hops.has(f.Name) {
				continue
			}
			switch {
			case equalFold("https", f.Value):
				return "https"
			case equalFold("http", f.Value):
				return "http"
			}
			break
		}
	}
	return x.scheme
}

// line is one field as it goes to a member.
type line struct{ name, value []byte }

// addFields adds field lines, each "Name: value CR LF", as parameters HTTP_NAME; lines of one name become one value (RFC 3875
// section 4.1.18).
func addFields(p *fastcgi.Params, lines, host []byte) {
	fastcgi.Add(p, "HTTP_HOST", host)
	var room [48]line
	all := room[:0]
	for rest := lines; len(rest) > 0; {
		l, next, _ := bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(l, []byte(": "))
		all = append(all, line{name, value})
		rest = next
	}
	for i, l := range all {
		switch {
		case equalFold("content-type", l.name):
			if first(all, l.name) == i {
				fastcgi.Add(p, "CONTENT_TYPE", l.value)
			}
			continue
		case equalFold("proxy", l.name), equalFold("content-length", l.name), equalFold("host", l.name):
			// HTTP_PROXY would become the proxy of whatever the script asks for (httpoxy, CVE-2016-5385).
			continue
		}
		if bytes.IndexByte(l.name, '_') >= 0 && aliases(all, l.name) || first(all, l.name) < i {
			continue
		}
		separator := ", "
		if equalFold("cookie", l.name) {
			separator = "; " // RFC 9113 section 8.2.3, as these fields of HTTP/2 are put together
		}
		size := len(l.value)
		for _, m := range all[i+1:] {
			if same(m.name, l.name) {
				size += len(separator) + len(m.value)
			}
		}
		p.Lengths(len("HTTP_")+len(l.name), size)
		p.Buf = append(p.Buf, "HTTP_"...)
		for _, c := range l.name {
			p.Buf = append(p.Buf, paramByte(c))
		}
		p.Buf = append(p.Buf, l.value...)
		for _, m := range all[i+1:] {
			if same(m.name, l.name) {
				p.Buf = append(append(p.Buf, separator...), m.value...)
			}
		}
	}
}

func same(a, b []byte) bool { return len(a) == len(b) && bytes.EqualFold(a, b) }

// first is the index of the first line of that name, -1 if there is none.
func first(all []line, name []byte) int {
	for i := range all {
		if same(all[i].name, name) {
			return i
		}
	}
	return -1
}

// aliases reports whether a name with an underscore, which a site may let pass, is for a script the same as one that is ours
// to write, or as another line's.
func aliases(all []line, name []byte) bool {
	dashed := bytes.ReplaceAll(name, []byte{'_'}, []byte{'-'})
	if kindOf(http1.Lookup(dashed)) != passOn || claimsIdentity(dashed) || equalFold("proxy", dashed) || equalFold("content-type", dashed) {
		return true
	}
	return first(all, dashed) >= 0
}

// paramByte writes a byte of a field's name as CGI does.
func paramByte(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z':
		return c - 'a' + 'A'
	case c == '-':
		return '_'
	}
	return c
}
