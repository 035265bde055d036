package http1

import "bytes"

// asterisk is the path of a request that has no "*" of its own. Nobody writes to it.
var asterisk = []byte("*")

// target takes the request target apart (RFC 9112 section 3.2). Its bytes are known to be 0x21 to 0x7e.
//
// In a path stand the pchar of RFC 3986 and "[]|^", which browsers send as they are (WHATWG URL, path percent-encode set)
// and which nobody takes for a delimiter. Refused are the backslash, which some origins read as a slash, and `"<>{}` and the
// backtick, which every browser escapes. A query may hold any of them: browsers leave "{}|^`\" alone there, curl users send
// JSON with its quotes, and a query has no structure that a proxy acts upon.
//
// Percent escapes in the path must be whole and must not be %00; in the query they belong to the application (%00 is honest
// binary data there, and "100%" a common typing mistake).
func (r *Request) target(t []byte) *Error {
	switch {
	case len(r.Method) == 7 && string(r.Method) == "CONNECT":
		return r.authorityForm(t)
	case t[0] == '/':
		r.Form = OriginForm
		return r.path(t)
	case len(t) == 1 && t[0] == '*':
		if string(r.Method) != "OPTIONS" {
			return errAsterisk
		}
		r.Form, r.Path = AsteriskForm, t
		return nil
	}
	return r.absoluteForm(t)
}

// authorityForm is host:port with both of them (RFC 9110 section 9.3.6).
func (r *Request) authorityForm(t []byte) *Error {
	_, port, ok := splitHost(t)
	if !ok || !validPort(port) || len(bytes.TrimLeft(port, "0")) == 0 {
		return errConnect
	}
	r.Form, r.Authority = AuthorityForm, t
	return nil
}

func (r *Request) absoluteForm(t []byte) *Error {
	colon := bytes.IndexByte(t, ':')
	if colon < 0 {
		return errTargetForm
	}
	if s := t[:colon]; !fold(s, "http") && !fold(s, "https") {
		if ValidToken(s) {
			return errScheme
		}
		return errTargetForm
	}
	if !bytes.HasPrefix(t[colon+1:], []byte("//")) {
		return errTargetForm
	}
	start := colon + 3
	end := start
	for end < len(t) && t[end] != '/' && t[end] != '?' && t[end] != '#' {
		end++
	}
	r.Form, r.Scheme, r.Authority = AbsoluteForm, t[:colon:colon], t[start:end:end]
	if !ValidHost(r.Authority) {
		return errAuthority
	}
	switch {
	case end < len(t) && t[end] == '/':
		return r.path(t[end:])
	case end < len(t):
		r.Path = t[start-1 : start : start] // the second slash of "//" is as good as any
		return r.query(t[end:])
	case string(r.Method) == "OPTIONS":
		// RFC 9112 section 3.2.4: the last proxy sends "*" for an absolute form without path and query.
		r.Form, r.Path = AsteriskForm, asterisk
		return nil
	}
	r.Path = t[start-1 : start : start]
	return nil
}

// Target takes a target in origin form apart, or "*", for versions of HTTP whose codecs leave that to us: what an HTTP/1
// request may ask for is what any request may. query is nil without "?".
func Target(t []byte) (path, query []byte, err *Error) {
	if len(t) == 1 && t[0] == '*' {
		return t, nil, nil
	}
	if len(t) == 0 || t[0] != '/' {
		return nil, nil, errTargetForm
	}
	var r Request
	if err := r.path(t); err != nil {
		return nil, nil, err
	}
	return r.Path, r.Query, nil
}

// path takes a path and what follows it.
func (r *Request) path(t []byte) *Error {
	i := 0
	for ; i < len(t); i++ {
		c := t[i]
		if class[c]&pchar == 0 {
			break
		}
		if c != '%' {
			continue
		}
		if len(t)-i < 3 || class[t[i+1]]&hexdig == 0 || class[t[i+2]]&hexdig == 0 {
			return errEscape
		}
		if t[i+1] == '0' && t[i+2] == '0' {
			return errEscapedNUL
		}
	}
	r.Path = t[:i:i]
	return r.query(t[i:])
}

// query takes what follows a path: nothing, or "?" and the query.
func (r *Request) query(t []byte) *Error {
	switch {
	case len(t) == 0:
		return nil
	case bytes.IndexByte(t, '#') >= 0:
		return errFragment
	case t[0] != '?':
		return errPathByte
	}
	r.Query = t[1:]
	return nil
}
