package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skein/cluster"
	"skein/config"
	"skein/health"
	"skein/policy"
	"skein/pool"
)

const testFile = `
region "beijing" {
  servers = {
    web1 = "10.0.0.11"
    web2 = "10.0.0.12"
  }
}
region "hangzhou" {
  servers = {
    web3 = "10.0.0.13"
  }
}
region "empty" {
}
pool "web" {
  servers = [server.web1, server.web2]
  port    = 8080
}
pool "api" {
  servers = [server.web3, "10.0.0.21:9000", "10.0.0.21:9001"]
  port    = 9000
}
http "site" {
  listen = "127.0.0.1:0"
  pool   = pool.web
  route "/api/" {
    pool = pool.api
  }
}
`

// fake is an Admin over a configuration that nothing serves.
type fake struct {
	*Admin
	set      *pool.Set
	config   *config.Config
	reloads  atomic.Int32
	reloaded error
	serving  error
	vips     VIPs
}

func newFake(t *testing.T) *fake {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	c, err := config.Parse("skein.hcl", []byte(testFile), config.Options{Policies: policy.Names(), Node: "web1"})
	if err != nil {
		t.Fatal(err)
	}
	set, err := pool.NewSet().Next(c, pool.Options{Policy: policy.New, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	set.Commit(time.Now())
	drains, err := cluster.Open(t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	drains.Apply(set)
	f := &fake{set: set, config: c, vips: fakeVIPs()}
	f.Admin = New(log, Sources{
		Version: "v1", Started: time.Now().Add(-time.Hour),
		Live:    func() (*config.Config, *pool.Set) { return c, set },
		Serving: func() error { return f.serving },
		Reload: func(context.Context) error {
			f.reloads.Add(1)
			return f.reloaded
		},
		LastReload: func() Reload { return Reload{Time: time.Now(), OK: true, Hash: c.Hash} },
		Health:     health.New(log, nil).Status,
		Drains:     drains,
		Traffic: func() (Traffic, []Listener) {
			return Traffic{
				Requests: 7, Causes: map[string]uint64{"done": 7},
				Sites:     []Site{{Name: `si"te`, Answers: Classes([6]uint64{2: 7})}},
				Protocols: map[string]map[string]uint64{"h2": {"rapid_resets": 3}},
			}, []Listener{{Service: "http", Names: []string{"site"}, Address: "127.0.0.1:80"}}
		},
		Certificates: func() []Certificate {
			return []Certificate{{Names: []string{"shop.example", "*.shop.example"}, Source: "acme", Error: "no answer"}}
		},
		VIPs: func() VIPs { return f.vips },
	})
	return f
}

// ask sends one request to the API and returns status and body.
func ask(h http.Handler, method, path, body string, change func(*http.Request)) (int, string) {
	r := httptest.NewRequest(method, "http://127.0.0.1:9180"+path, strings.NewReader(body))
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// shortDir is a directory whose path leaves room for a unix socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if len(filepath.Join(dir, "x", "skein.sock")) > maxPath {
		t.Skip("the temporary directory's path is too long")
	}
	return dir
}

var errFile = errors.New("skein.hcl:3: No such pool")
