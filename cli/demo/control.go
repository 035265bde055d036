package demo

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// The page's buttons must not be pressed by other sites' pages in the same browser. A request is carried out if
//
//   - its Host is a loopback name, which a name that was rebound to 127.0.0.1 is not,
//   - the browser says that the page itself sent it (Sec-Fetch-Site, Origin: net/http's CrossOriginProtection),
//   - its body is JSON, which a form of another site cannot send.

//go:embed page.html
var page string

// page is the site's only page. Each of the three servers can answer with it.
func (d *demo) page(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	fmt.Fprint(w, page)
}

// serveControl starts the server behind /demo/, which lives as long as the demonstration.
func (d *demo) serveControl() (*http.Server, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /demo/state", func(w http.ResponseWriter, r *http.Request) {
		states, err := d.states(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(map[string]any{"servers": states, "file": d.file})
	})
	mux.HandleFunc("POST /demo/act", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			http.Error(w, "the body must be JSON", http.StatusUnsupportedMediaType)
			return
		}
		var q struct{ Act, Server string }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := d.act(r.Context(), q.Act, q.Server); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	own := http.NewCrossOriginProtection().Handler(mux)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{
		Addr: l.Addr().String(), ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !loopback(r.Host) {
				http.Error(w, "only by a loopback address", http.StatusForbidden)
				return
			}
			own.ServeHTTP(w, r)
		}),
	}
	go func() { _ = s.Serve(l) }()
	return s, nil
}

func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && a.IsLoopback()
}
