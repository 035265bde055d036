package config

import (
	"net/netip"
	"testing"
)

func TestLoops(t *testing.T) {
	o := Options{Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("2001:db8::1")}, Env: func(string) (string, bool) { return "", false }}
	for _, tt := range []struct {
		name, listen, server string
		warns                bool
	}{
		{"every address and an own one", ":8080", "10.0.0.11:8080", true},
		{"every address and loopback", ":8080", "127.0.0.1:8080", true},
		{"own IPv6", "[::]:8080", "[2001:db8::1]:8080", true},
		{"the same address", "10.0.0.99:8080", "10.0.0.99:8080", true},
		{"another port", ":8080", "10.0.0.11:8081", false},
		{"another machine", ":8080", "10.0.0.12:8080", false},
		{"another address of this machine", "127.0.0.1:8080", "10.0.0.11:8080", false},
		{"a name", ":8080", "web1.internal:8080", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := "http \"s\" {\n  listen = \"" + tt.listen + "\"\n  servers = [\"" + tt.server + "\"]\n}\n"
			c, err := Parse("s.hcl", []byte(src), o)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(c.Warnings) == 1 && c.Warnings[0].Summary == "Listener among its own servers" && c.Warnings[0].Line == 2; got != tt.warns || !tt.warns && len(c.Warnings) > 0 {
				t.Errorf("warnings:\n%s\nwant one: %v", Text(c.Warnings), tt.warns)
			}
		})
	}
	o.Elsewhere = true
	c, err := Parse("s.hcl", []byte("http \"s\" {\n  listen = \":80\"\n  servers = [\"10.0.0.11:80\"]\n}\n"), o)
	if err != nil || len(c.Warnings) > 0 {
		t.Errorf("for another machine: %v, %s", err, Text(c.Warnings))
	}
}
