package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// The loopback listener can be reached by any page that a browser on this machine shows: by a cross-site request, and by a
// name of the attacker's whose address changes to 127.0.0.1 after the page was loaded (DNS rebinding). So it
//
//   - answers only to names of the loopback, which a rebound name is not,
//   - refuses what a browser marks as sent by another site (Fetch Metadata, Origin),
//   - never changes anything: that is the unix socket's, which no browser can open.

// guard stands before the loopback listener's handler.
func guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := foreign(r); why != "" {
			fail(w, http.StatusForbidden, why, "")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// foreign says why r does not come from this machine's own user; "" if it may.
func foreign(r *http.Request) string {
	if !loopback(r.Host) {
		return "the Host field names another machine; only loopback names are answered"
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return "the request was sent by a page of another site"
	}
	if o := r.Header.Get("Origin"); o != "" {
		u, err := url.Parse(o)
		if err != nil || u.Host != r.Host {
			return "the request was sent by a page of another site"
		}
	}
	return ""
}

// loopback reports whether a Host field names this machine's loopback.
func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 section 6.3
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}
