package cli

import (
	"net/netip"
	"strings"
	"testing"

	"skein/config"
)

// A vip that this machine cannot own is named at its place, and only once: without the rights, or without the interface.
func TestHereVIP(t *testing.T) {
	c := &config.Config{Node: "lb1", VIPs: []*config.VIP{{
		Name: "front", Pos: config.Pos{File: "x.hcl", Line: 4}, Interface: "nosuch0", InterfacePos: config.Pos{File: "x.hcl", Line: 7},
		Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")},
		Nodes:     []config.VIPNode{{Name: "lb1", Addr: netip.MustParseAddr("192.0.2.1"), Priority: 200}},
	}}}
	found := here(t.Context(), c)
	if len(found) != 1 {
		t.Fatalf("found = %+v, want one problem", found)
	}
	p := found[0]
	rights := p.Line == 4 && strings.HasPrefix(p.Detail, "needs CAP_NET_ADMIN and CAP_NET_RAW")
	missing := p.Line == 7 && strings.HasPrefix(p.Detail, "there is no interface nosuch0 on this machine")
	if p.File != "x.hcl" || p.Block != `vip "front"` || !rights && !missing || strings.Contains(p.Detail, "x.hcl") {
		t.Errorf("found = %+v", p)
	}
}
