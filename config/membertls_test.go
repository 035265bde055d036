package config

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestMemberTLS(t *testing.T) {
	p := newPlace(t)
	c := p.good(`
pool "web" {
  servers  = ["10.0.0.1:443"]
  protocol = "h2"
  tls {
    ca   = "shop.pem"
    name = "Origin.internal."
    cert = "shop.pem"
    key  = "shop.key"
  }
  check {
    https = "/up"
  }
}
pool "plain" {
  servers = ["10.0.0.1:443"]
  tls {
  }
  check {
    https = "/up"
    host  = "own.example.com"
  }
}
pool "proxied" {
  servers    = ["10.0.0.1:80"]
  send_proxy = true
  check {
    http = "/up"
  }
}
pool "beside" {
  servers    = ["10.0.0.1:80"]
  send_proxy = true
  check {
    http = "/up"
    port = 81
  }
}
pool "php" {
  servers  = ["unix:/run/php.sock", "10.0.0.1"]
  port     = 9000
  protocol = "fastcgi"
}
http "a" {
  listen = ":80"
  pool   = pool.web
  route "/plain" {
    pool = pool.plain
  }
  route "/proxied" {
    pool = pool.proxied
  }
  route "/beside" {
    pool = pool.beside
  }
  route "/php" {
    pool = pool.php
    files {
      root = "."
    }
  }
}`)
	cert := p.read("shop.pem")
	web, plain, proxied, php := c.Pools[0], c.Pools[1], c.Pools[2], c.Pools[4]
	if diff := cmp.Diff(&MemberTLS{CA: cert, Name: "origin.internal", Cert: cert, Key: p.read("shop.key"), Verify: true}, web.TLS); diff != "" {
		t.Errorf("tls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&MemberTLS{Verify: true}, plain.TLS); diff != "" {
		t.Errorf("empty tls (-want +got):\n%s", diff)
	}
	if string(web.Check.Cert) != string(cert) || len(web.Check.Key) == 0 || web.Check.Insecure || plain.Check.Cert != nil {
		t.Errorf("checks do not show the pool's certificate: %+v, %+v", web.Check, plain.Check)
	}
	// Checks believe whom the pool believes, unless they say something else.
	if web.Check.Host != "origin.internal" || string(web.Check.CA) != string(cert) || plain.Check.Host != "own.example.com" || plain.Check.CA != nil {
		t.Errorf("checks: %+v, %+v", web.Check, plain.Check)
	}
	if beside := c.Pools[3].Check; !proxied.Check.SendProxy || beside.SendProxy || web.Check.SendProxy {
		t.Errorf("PROXY header of checks: %v, %v at another port, %v without; want it in the first", proxied.Check.SendProxy, beside.SendProxy, web.Check.SendProxy)
	}
	for _, tt := range []struct {
		*Pool
		protocol  string
		keepalive int
	}{{web, "h2", 256}, {plain, "http/1.1", 256}, {proxied, "http/1.1", 0}, {php, "fastcgi", 0}} {
		if tt.Protocol != tt.protocol || tt.KeepAlive != tt.keepalive {
			t.Errorf("pool %s: %s, keepalive %d; want %s and %d", tt.Name, tt.Protocol, tt.KeepAlive, tt.protocol, tt.keepalive)
		}
	}
	want := []Member{
		{Server: &Server{Name: "unix:/run/php.sock", Unix: "/run/php.sock", Weight: 1}, Weight: 1},
		{Server: &Server{Name: "10.0.0.1", Host: "10.0.0.1", Weight: 1}, Port: 9000, Weight: 1},
	}
	if diff := cmp.Diff(want, php.Members, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

// TestInsecureCheck: a check believes what its pool believes, unless it is told what to believe itself.
func TestInsecureCheck(t *testing.T) {
	p := newPlace(t)
	const site = `
pool "web" {
  servers = ["10.0.0.1:443"]
  tls {
    verify = false
  }
  check {
    https = "/up"
    %s
  }
}
http "a" {
  listen = ":80"
  pool   = pool.web
}`
	for line, want := range map[string]bool{"": true, `ca = "shop.pem"`: false} {
		if got := p.good(fmt.Sprintf(site, line)).Pools[0].Check; got.Insecure != want || (got.CA == nil) != want {
			t.Errorf("with %q: insecure %v, CA of %d bytes, want insecure %v", line, got.Insecure, len(got.CA), want)
		}
	}
}
