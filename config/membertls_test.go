package config

import (
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
  route "/php" {
    pool = pool.php
    files {
      root = "."
    }
  }
}`)
	cert := p.read("shop.pem")
	web, plain, proxied, php := c.Pools[0], c.Pools[1], c.Pools[2], c.Pools[3]
	if diff := cmp.Diff(&MemberTLS{CA: cert, Name: "origin.internal", Cert: cert, Key: p.read("shop.key"), Verify: true}, web.TLS); diff != "" {
		t.Errorf("tls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&MemberTLS{Verify: true}, plain.TLS); diff != "" {
		t.Errorf("empty tls (-want +got):\n%s", diff)
	}
	// Checks believe whom the pool believes, unless they say something else.
	if web.Check.Host != "origin.internal" || string(web.Check.CA) != string(cert) || plain.Check.Host != "own.example.com" || plain.Check.CA != nil {
		t.Errorf("checks: %+v, %+v", web.Check, plain.Check)
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
