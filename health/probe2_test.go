package health

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"skein/pool"
)

func TestProbeByHTTP2(t *testing.T) {
	var seen *http.Request
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		if r.URL.Path != "/up" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte("all is well"))
	})
	plain := httptest.NewUnstartedServer(h)
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Start()
	defer plain.Close()
	secure := httptest.NewUnstartedServer(h)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	old := httptest.NewTLSServer(h) // speaks HTTP/1 only
	defer old.Close()
	for _, v := range []struct {
		name, kind, path, body string
		srv                    *httptest.Server
		want                   string
	}{
		{"plain text", "http", "/up", "", plain, "status 200"},
		{"TLS", "https", "/up", "", secure, "status 200"},
		{"a body", "http", "/up", "is well", plain, "status 200"},
		{"another body", "http", "/up", "is bad", plain, "status 200, but the body does not contain"},
		{"another path", "http", "/down", "", plain, "status 404, want 200-399"},
		{"only HTTP/1", "https", "/up", "", old, "tls: no application protocol"},
	} {
		t.Run(v.name, func(t *testing.T) {
			seen = nil
			c := httpCheck()
			c.Kind, c.Path, c.Body, c.Timeout = v.kind, v.path, v.body, 5*time.Second
			if v.kind == "https" {
				c.CA = authority(v.srv)
			}
			m := &pool.Member{Network: "tcp", Address: v.srv.Listener.Addr().String(), Host: "127.0.0.1"}
			r := newProbe(c, m, true, (&net.Dialer{}).DialContext).run(t.Context())
			if r.OK != (v.want == "status 200") || !strings.HasPrefix(r.Text, v.want) {
				t.Errorf("check = %v %q, want %q", r.OK, r.Text, v.want)
			}
			if v.srv != old && (seen == nil || seen.ProtoMajor != 2 || seen.Host != m.Address || seen.UserAgent() != "skein/check") {
				t.Errorf("the member saw %+v", seen)
			}
		})
	}
}
