package message

import "strings"

// Bounds are what a field list may take.
type Bounds struct {
	Size   int // bytes, with 32 more for each field (RFC 9113 section 6.5.2, RFC 9114 section 4.2.2)
	Fields int
}

// List collects a decoded list of fields under its bounds, and judges it (RFC 9113 sections 8.2 and 8.3, RFC 9114 sections 4.2
// and 4.3). What we forward becomes HTTP/1.1 somewhere, so that a byte too many here is a second request there. A list must be
// Reset before its first use.
type List struct {
	Fields []Field // those that are told in no other way
	Large  bool    // over a bound: the rest was not looked at
	Bad    string  // the rule that is broken; "" is none so far

	bounds   Bounds
	crumbs   []byte // cookie crumbs, joined
	cookie   int    // index of the cookie field, -1 without one
	size     int
	trailer  bool
	regular  bool  // a field that is no pseudo field has come
	have     uint8 // pseudo fields that have come
	method   string
	scheme   string
	path     string
	host     string // Host
	hosts    bool
	auth     string // :authority
	protocol string
	length   int64 // content-length, -1 without one
}

const (
	haveMethod = 1 << iota
	haveScheme
	havePath
	haveAuthority
	haveProtocol
)

// entryOverhead is what counts for each field beside its bytes.
const entryOverhead = 32

// Reset begins a list; trailer is whether it comes behind a body.
func (l *List) Reset(b Bounds, trailer bool) {
	*l = List{Fields: l.Fields[:0], crumbs: l.crumbs[:0], bounds: b, cookie: -1, length: -1, trailer: trailer}
}

// What a list keeps for the next one, at most.
const (
	keptFields = 128
	keptCrumbs = 4 << 10
)

// Forget lets go of everything that a pool must not keep alive; Reset comes before the next use.
func (l *List) Forget() {
	clear(l.Fields[:cap(l.Fields)])
	crumbs, fields := l.crumbs[:0], l.Fields[:0]
	if cap(crumbs) > keptCrumbs || cap(fields) > keptFields {
		crumbs, fields = nil, nil
	}
	*l = List{Fields: fields, crumbs: crumbs}
}

// Add takes a field. It returns true when no more need be decoded.
func (l *List) Add(name, value string) bool {
	l.size += len(name) + len(value) + entryOverhead
	if l.size > l.bounds.Size {
		l.Large = true
		return true
	}
	if l.Bad != "" {
		return true
	}
	if name != "" && name[0] == ':' {
		l.Bad = l.pseudo(name, value)
		return l.Bad != ""
	}
	l.regular = true
	l.Bad = l.field(name, value)
	return l.Bad != "" || l.Large
}

func (l *List) pseudo(name, value string) string {
	var bit uint8
	switch {
	case l.trailer:
		return "a pseudo field in trailers"
	case l.regular:
		return "a pseudo field after other fields"
	}
	switch name {
	case ":method":
		bit, l.method = haveMethod, value
	case ":scheme":
		bit, l.scheme = haveScheme, value
	case ":path":
		bit, l.path = havePath, value
	case ":authority":
		bit, l.auth = haveAuthority, value
	case ":protocol":
		bit, l.protocol = haveProtocol, value
	default:
		return "an unknown pseudo field"
	}
	if l.have&bit != 0 {
		return "a pseudo field came twice"
	}
	l.have |= bit
	return ""
}

func (l *List) field(name, value string) string {
	switch {
	case name == "" || !all(name, nameByte):
		return "a field name is empty, has capitals or is no token"
	case !validValue(value):
		return "a field value has control bytes, or white space around it"
	}
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return "a field of the connection (RFC 9113 section 8.2.2, RFC 9114 section 4.2)"
	case "te":
		if !strings.EqualFold(value, "trailers") {
			return "te is not trailers"
		}
	case "content-length":
		if l.trailer {
			return ""
		}
		n, ok := parseLength(value)
		if !ok || l.length >= 0 {
			return "content-length is no number, or came twice"
		}
		l.length = n
		return ""
	case "host":
		if l.hosts {
			return "host came twice"
		}
		l.hosts, l.host = true, value
		return ""
	case "cookie":
		if l.trailer {
			return ""
		}
		return l.crumb(value)
	}
	if l.trailer && forbiddenTrailer(name) {
		return ""
	}
	return l.keep(name, bytesOf(value))
}

func (l *List) keep(name string, value []byte) string {
	if len(l.Fields) >= l.bounds.Fields {
		l.Large = true
		return ""
	}
	l.Fields = append(l.Fields, Field{bytesOf(name), value})
	return ""
}

// crumb joins cookie fields to one (RFC 9113 section 8.2.3, RFC 9114 section 4.2.1): HTTP/1.1 has only one.
func (l *List) crumb(value string) string {
	if l.cookie < 0 {
		l.cookie = len(l.Fields)
		return l.keep("cookie", bytesOf(value))
	}
	f := &l.Fields[l.cookie]
	if len(l.crumbs) == 0 {
		l.crumbs = append(l.crumbs, f.Value...)
	}
	l.crumbs = append(append(l.crumbs, "; "...), value...)
	f.Value = l.crumbs
	return ""
}

func validValue(v string) bool {
	if v == "" {
		return true
	}
	if v[0] == ' ' || v[0] == '\t' || v[len(v)-1] == ' ' || v[len(v)-1] == '\t' {
		return false
	}
	return all(v, valueByte)
}

func parseLength(v string) (n int64, ok bool) {
	if v == "" || len(v) > 18 {
		return 0, false
	}
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(v[i]-'0')
	}
	return n, true
}

// forbiddenTrailer names what must not arrive after the body, as package http1 does for chunked bodies: it would change the
// framing, the route, the identity or the conditions of a request that has been judged (RFC 9110 section 6.5.1).
func forbiddenTrailer(name string) bool {
	if strings.IndexByte(name, '_') >= 0 { // CGI cannot tell it from one of the names below
		return true
	}
	for _, p := range []string{"content-", "x-forwarded-", "proxy-", "if-", "sec-", "access-control-"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	switch name {
	case "te", "trailer", "expect", "x-real-ip", "forwarded", "set-cookie", "date", "user-agent", "referer", "authorization",
		"accept-encoding", "location", "vary", "retry-after", "alt-svc", "http2-settings", "age", "allow", "cache-control", "expires",
		"max-forwards", "pragma", "range", "warning", "www-authenticate", "authentication-info", "strict-transport-security", "origin",
		"accept", "x-http-method-override", "x-original-url", "x-rewrite-url":
		return true
	}
	return false
}

// Request fills r, or says which rule the list breaks. Extended is whether extended CONNECT is taken (RFC 8441, RFC 9220), end
// that no body follows.
func (l *List) Request(r *Request, extended, end bool) string {
	if l.Bad != "" {
		return l.Bad
	}
	connect := l.method == "CONNECT"
	tunnel := connect && l.have&haveProtocol == 0
	switch {
	case l.have&haveMethod == 0 || l.method == "" || !all(l.method, methodByte):
		return ":method is missing or no token"
	case l.have&haveProtocol != 0 && (!extended || !connect || l.protocol == "" || !all(l.protocol, methodByte)):
		return ":protocol without extended CONNECT"
	case tunnel && l.have&(haveScheme|havePath) != 0:
		return "CONNECT with a :scheme or a :path"
	case tunnel && l.have&haveAuthority == 0:
		return "CONNECT without an :authority"
	case !tunnel && l.scheme != "http" && l.scheme != "https":
		return ":scheme is missing, or neither http nor https"
	case !tunnel && (l.path == "" || !all(l.path, pathByte)):
		return ":path is missing, empty, or has bytes that no path has"
	case !tunnel && l.path[0] != '/' && (l.path != "*" || l.method != "OPTIONS"):
		return ":path does not begin with a slash"
	}
	host := l.auth
	switch {
	case l.have&haveAuthority == 0:
		host = l.host
	case l.hosts && !strings.EqualFold(l.host, l.auth):
		return "host differs from :authority"
	}
	if host == "" || !all(host, hostByte) {
		return ":authority and host are missing, empty, or have userinfo or bytes that no host has"
	}
	if end && l.length > 0 {
		return "the body is not as long as its content-length"
	}
	*r = Request{Method: l.method, Scheme: l.scheme, Authority: bytesOf(host), Protocol: l.protocol, Fields: l.Fields, Length: l.length}
	if !tunnel {
		r.Path = bytesOf(l.path)
	}
	if end {
		r.Length = 0
	}
	return ""
}
