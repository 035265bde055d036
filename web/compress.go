package web

import (
	"bytes"
	"net/http"
	"strings"

	"skein/config"
	"skein/web/http1"
)

// compress is called with each answer's head, right before x.to.begin. If this answer to this client is to be compressed, the
// head is rewritten and x.to compresses whatever is written to it from then on. Whoever answers need not know.
//
// The rules, in their order:
//
//	the route does not compress                            nothing is done
//	304                                                    its tag is made that of the answer which the client has
//	no body, a part of one, or one in a coding already     nothing is done
//	no-transform (RFC 9111 section 5.2.2.6)                nothing is done
//	a media type that the route does not name, or gRPC     nothing is done
//	shorter than the route's least length                  nothing is done
//	the client takes none of the route's encodings         Vary only
//	brotli keeps the other processors busy                 the next best encoding, if the client takes another one
//	there is no memory for one more encoder                Vary only
//
// The request's Accept-Encoding goes to the member as it is: one that compresses by itself is left alone.
func (w *Web) compress(x *exchange, a *answer) {
	if x.route == nil || x.route.cfg.Compress == nil {
		return
	}
	cfg := x.route.cfg.Compress
	if a.status == http.StatusNotModified {
		x.notModified(a)
		return
	}
	if !mayCompress(cfg, x.method, a) {
		return
	}
	wishes := wishesOf(x.fields)
	if a.length >= 0 && a.length < cfg.MinSize && !wishes.refuse() {
		return
	}
	e := wishes.choose(cfg.Encodings)
	if e == asIs || x.forbidsTransform() {
		a.vary()
		return
	}
	if e == brotlied && w.compressor.busy() {
		wishes.of[brotlied] = 0
		if other := wishes.choose(cfg.Encodings); other != asIs {
			e = other
		}
	}
	if a.none { // HEAD: the same head as with GET, but for the length, which only compressing would tell (RFC 9110 section 9.3.2)
		new(headCopy).rewrite(a, e)
		return
	}
	if !w.compressor.reserve(e, a.length) {
		a.vary()
		return
	}
	c, ok := w.compressor.answers.Get().(*compressed)
	if !ok {
		c = &compressed{}
	}
	c.w, c.x, c.to, c.encoding = w, x, x.to, e
	c.encoder = w.compressor.lend(e, c)
	c.kept.rewrite(a, e)
	x.to = c
}

// mayCompress holds the rules that are the same for all clients against an answer.
func mayCompress(cfg *config.Compress, method string, a *answer) bool {
	switch {
	case a.status < 200, a.status == http.StatusNoContent, a.status == http.StatusResetContent, a.status == http.StatusPartialContent:
		return false
	case a.none && method != http.MethodHead, a.length == 0:
		return false
	}
	typed := false
	for f := range a.each() {
		switch said(&f) {
		case saysRange:
			return false
		case saysCoding:
			if !equalFold("identity", f.Value) {
				return false
			}
		case saysCache:
			if hasToken(f.Value, "no-transform") {
				return false
			}
		case saysType:
			if typed || !compressible(cfg.Types, f.Value) {
				return false
			}
			typed = true
		}
	}
	return typed
}

// compressible reports whether a Content-Type is among types, which are lower case: "text/html", "text/*".
func compressible(types []string, value []byte) bool {
	kind, _, _ := bytes.Cut(value, []byte{';'})
	kind = bytes.Trim(kind, " \t")
	// gRPC frames and compresses its messages itself, and expects them byte by byte.
	if grpc := "application/grpc"; len(kind) >= len(grpc) && equalFold(grpc, kind[:len(grpc)]) {
		return false
	}
	for _, t := range types {
		if general, ok := strings.CutSuffix(t, "*"); ok { // "text/"
			if len(kind) > len(general) && equalFold(general, kind[:len(general)]) {
				return true
			}
		} else if equalFold(t, kind) {
			return true
		}
	}
	return false
}

// hasToken reports whether a list holds a token, given in lower case.
func hasToken(list []byte, token string) bool {
	for v := range bytes.SplitSeq(list, []byte{','}) {
		if equalFold(token, bytes.Trim(v, " \t")) {
			return true
		}
	}
	return false
}

// forbidsTransform reports whether the client asked for the bytes as they are (RFC 9111 section 5.2.1.6).
func (x *exchange) forbidsTransform() bool {
	for i := range x.fields {
		if f := &x.fields[i]; f.ID == http1.Other && equalFold("cache-control", f.Name) && hasToken(f.Value, "no-transform") {
			return true
		}
	}
	return false
}

// notModified makes the tag of a 304 a weak one, and adds Vary, if that is what the client's copy had: the member knows only
// its own strong tag, and a cache does not renew a copy with a weak tag by a strong one (RFC 9111 section 4.3.4).
//
// The condition itself went to the member unchanged. If-None-Match is compared weakly (RFC 9110 section 13.1.2), so that W/"x"
// finds "x"; a member that compares strongly all the same sends the whole answer again, which is dear but right. To take the
// W/ off would be wrong where the member itself has given it.
func (x *exchange) notModified(a *answer) {
	for i := range a.fields {
		f := &a.fields[i]
		if f.ID != http1.ETag || a.hops != nil && a.hops.has(f.Name) {
			continue
		}
		before, ok := weak(f.Value)
		if !ok || before == "" || !x.holdsWeak(f.Value) {
			return
		}
		fields := append([]Field(nil), a.fields...)
		fields[i].Value = append([]byte(before), f.Value...)
		a.fields = fields
		a.vary()
		return
	}
}

// holdsWeak reports whether If-None-Match names W/ and this strong tag, and not the tag itself.
func (x *exchange) holdsWeak(tag []byte) (holds bool) {
	for i := range x.fields {
		f := &x.fields[i]
		if f.ID != http1.Other || !equalFold("if-none-match", f.Name) {
			continue
		}
		// A tag may hold a comma, but then it is not found here, and nothing is changed.
		for v := range bytes.SplitSeq(f.Value, []byte{','}) {
			v = bytes.Trim(v, " \t")
			if bytes.Equal(v, tag) {
				return false
			}
			if bytes.HasPrefix(v, []byte("W/")) && bytes.Equal(v[2:], tag) {
				holds = true
			}
		}
	}
	return holds
}
