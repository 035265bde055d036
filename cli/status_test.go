package cli

import (
	"strings"
	"testing"
	"time"

	"skein/admin"
)

// TestStatusSockets: a member at a unix socket is shown as the file writes it, once, and by its name if it has one.
func TestStatusSockets(t *testing.T) {
	s := admin.Status{Pools: []admin.Pool{{Name: "php", Policy: "round_robin", Members: []admin.Member{
		{Server: "unix:/run/php.sock", Address: "/run/php.sock", State: "up", Weight: 1},
		{Server: "php1", Address: "/run/php1.sock", State: "up", Weight: 1},
		{Server: "10.0.0.11:9000", Address: "10.0.0.11:9000", State: "up", Weight: 1},
	}}}}
	var out strings.Builder
	printStatus(&out, s, time.Now())
	var got []string
	for line := range strings.Lines(out.String()) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "up" {
			got = append(got, f[0]+" "+f[1])
		}
	}
	want := "- unix:/run/php.sock, php1 unix:/run/php1.sock, - 10.0.0.11:9000"
	if strings.Join(got, ", ") != want {
		t.Errorf("members = %s, want %s in\n%s", strings.Join(got, ", "), want, out.String())
	}
}

// TestStatusListeners: what an address speaks is said where it is more than HTTP/1.1 in plain text.
func TestStatusListeners(t *testing.T) {
	for want, l := range map[string]admin.Listener{
		"":                         {Protocols: []string{"http/1.1"}},
		" (http/1.1, h2c)":         {Protocols: []string{"http/1.1", "h2c"}},
		" (tls: http/1.1, h2, h3)": {TLS: true, Protocols: []string{"http/1.1", "h2", "h3"}},
		" (redirect to https)":     {Redirect: true},
	} {
		if got := spoken(l); got != want {
			t.Errorf("spoken(%+v) = %q, want %q", l, got, want)
		}
	}
}
