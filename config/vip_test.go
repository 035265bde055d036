package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// vipFile is a file with a vip that has these lines.
func vipFile(lines string) string {
	return `servers = {
  lb1  = "10.0.0.11"
  lb2  = "10.0.0.12"
  lb3  = "lb3.example.com"
  six1 = "2001:db8::11"
  six2 = "2001:db8::12"
  web1 = "10.0.0.21"
}
http "site" {
  listen  = ":80"
  servers = ["10.0.0.21:8080"]
}
vip "front" {
  ` + strings.ReplaceAll(lines, "\n", "\n  ") + `
}
`
}

func parseVIP(t *testing.T, node, lines string) *Config {
	t.Helper()
	c, err := Parse("a.hcl", []byte(vipFile(lines)), Options{Node: node})
	if err != nil {
		t.Fatalf("Parse:\n%v", err)
	}
	return c
}

func TestVIPDefaults(t *testing.T) {
	c := parseVIP(t, "lb2", "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]")
	if len(c.VIPs) != 1 || len(c.Warnings) > 0 {
		t.Fatalf("%d vips, warnings:\n%s", len(c.VIPs), Text(c.Warnings))
	}
	want := &VIP{
		Name: "front", Pos: Pos{"a.hcl", 13}, InterfacePos: Pos{"a.hcl", 13},
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.10/24")},
		RouterID:  10, Version: 3, Interval: 100 * time.Millisecond,
		Nodes: []VIPNode{
			{Name: "lb1", Host: "10.0.0.11", Addr: netip.MustParseAddr("10.0.0.11"), Priority: 200},
			{Name: "lb2", Host: "10.0.0.12", Addr: netip.MustParseAddr("10.0.0.12"), Priority: 190},
		},
		Unicast4: true, Checksum: "auto", Preempt: true, Handover: 30 * time.Second, NotifyLimit: 10 * time.Second,
		Probe: VIPProbe{Every: time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3},
	}
	if diff := cmp.Diff(want, c.VIPs[0], cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("vip (-want +got):\n%s", diff)
	}
}

func TestVIPPlacement(t *testing.T) {
	for _, tt := range []struct {
		node string
		here bool
	}{{"lb1", true}, {"lb2", true}, {"lb3", false}, {"web1", false}} {
		c := parseVIP(t, tt.node, "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]")
		if got := len(c.VIPs) == 1; got != tt.here {
			t.Errorf("node %s has the vip: %v, want %v", tt.node, got, tt.here)
		}
	}
}

func TestVIPRouterID(t *testing.T) {
	for _, tt := range []struct {
		lines string
		want  int
	}{
		{`address = "10.0.0.10/24"`, 10},
		{`address = ["10.0.1.77", "10.0.0.10/24"]`, 77},
		{`address = "10.1.0.0/8"`, 255},
		{`address = "2001:db8::1:2a/64"`, 0x2a},
		{`address = "2001:db8::1:100/64"`, 255},
		{"address = \"10.0.0.10/24\"\nrouter_id = 51", 51},
	} {
		if c := parseVIP(t, "lb1", tt.lines+"\nnodes = [server.lb1, server.lb2]"); c.VIPs[0].RouterID != tt.want {
			t.Errorf("%s: router id is %d, want %d", tt.lines, c.VIPs[0].RouterID, tt.want)
		}
	}
}

func TestVIPPrefix(t *testing.T) {
	c := parseVIP(t, "lb1", "address = [\"10.0.0.10\", \"2001:db8::10\", \"10.9.0.0/31\", \"2001:db8:1::/127\", \"10.0.0.9/8\"]\nnodes = [server.lb1, server.lb2]")
	want := "[10.0.0.10/32 2001:db8::10/128 10.9.0.0/31 2001:db8:1::/127 10.0.0.9/8]"
	if got := fmt.Sprint(c.VIPs[0].Addresses); got != want {
		t.Errorf("addresses are %s, want %s", got, want)
	}
}

// TestVIPUnicast: who can be told of each other is; the rest has to be found.
func TestVIPUnicast(t *testing.T) {
	const both = `address = ["10.0.0.10/24", "2001:db8::10/64"]`
	for _, tt := range []struct {
		name, lines string
		four, six   bool
	}{
		{"addresses", "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]", true, false},
		{"said", "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]\nunicast = true", true, false},
		{"denied", "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]\nunicast = false", false, false},
		{"a name among them", "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb3]", false, false},
		{"both families, IPv4 nodes", both + "\nnodes = [server.lb1, server.lb2]", true, false},
		{"both families, IPv6 nodes", both + "\nnodes = [server.lb1, server.six1]", false, false},
		{"IPv6", "address = \"2001:db8::10/64\"\nnodes = [server.six1, server.six2]", false, true},
		{"IPv6 with IPv4 nodes", "address = \"2001:db8::10/64\"\nnodes = [server.lb1, server.lb2]", false, false},
		{"alone", "address = \"10.0.0.10/24\"\nnodes = [server.lb1]", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			node := "lb1"
			if strings.Contains(tt.lines, "[server.six1") {
				node = "six1"
			}
			v := parseVIP(t, node, tt.lines).VIPs[0]
			if v.Unicast4 != tt.four || v.Unicast6 != tt.six {
				t.Errorf("unicast is %v for IPv4 and %v for IPv6, want %v, %v", v.Unicast4, v.Unicast6, tt.four, tt.six)
			}
		})
	}
}

func TestVIPInterface(t *testing.T) {
	lines := "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]\ninterface = {\n  lb1 = \"eth0\"\n  lb2 = \"ens192\"\n}"
	for node, want := range map[string]VIP{
		"lb1": {Interface: "eth0", InterfacePos: Pos{"a.hcl", 17}},
		"lb2": {Interface: "ens192", InterfacePos: Pos{"a.hcl", 18}},
	} {
		if v := parseVIP(t, node, lines).VIPs[0]; v.Interface != want.Interface || v.InterfacePos != want.InterfacePos {
			t.Errorf("on %s it is %q at %v, want %q at %v", node, v.Interface, v.InterfacePos, want.Interface, want.InterfacePos)
		}
	}
	v := parseVIP(t, "lb2", "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]\ninterface = \"bond0.7\"").VIPs[0]
	if v.Interface != "bond0.7" || v.InterfacePos.Line != 16 {
		t.Errorf("interface is %q at %v", v.Interface, v.InterfacePos)
	}
}

func TestVIPVersion2(t *testing.T) {
	v := parseVIP(t, "lb1", "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]\nversion = 2\npassword = \"hunter2\"").VIPs[0]
	if v.Version != 2 || v.Interval != time.Second || string(v.Password) != "hunter2" {
		t.Errorf("version %d, interval %v, password of %d bytes", v.Version, v.Interval, len(v.Password))
	}
	if s := fmt.Sprintf("%v %+v", v, *v); strings.Contains(s, "hunter2") {
		t.Errorf("the password is shown: %s", s)
	}
	for _, interval := range []string{"1s", "255s", "4m"} {
		parseVIP(t, "lb1", "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]\nversion = 2\ninterval = \""+interval+"\"")
	}
	for _, interval := range []string{"10ms", "40.95s", "1s"} {
		parseVIP(t, "lb1", "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]\ninterval = \""+interval+"\"")
	}
}

// TestVIPPriorities: sixteen nodes have room above the ranks of those that do not serve.
func TestVIPPriorities(t *testing.T) {
	var servers, refs []string
	for i := range maxVIPNodes {
		servers = append(servers, fmt.Sprintf("n%d = \"10.0.0.%d\"", i, i+1))
		refs = append(refs, fmt.Sprintf("server.n%d", i))
	}
	src := "servers = {\n" + strings.Join(servers, "\n") + "\n}\nvip \"a\" {\naddress = \"10.0.0.100/24\"\nnodes = [" + strings.Join(refs, ", ") + "]\n}\n"
	c, err := Parse("a.hcl", []byte(src), Options{Node: "n15"})
	if err != nil {
		t.Fatal(err)
	}
	nodes := c.VIPs[0].Nodes
	if first, last := nodes[0].Priority, nodes[maxVIPNodes-1].Priority; first != 200 || last != 50 || last < 2*maxVIPNodes+1 {
		t.Errorf("priorities from %d to %d", first, last)
	}
	c = parseVIP(t, "lb1", "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]\npriorities = { lb2 = 255, lb1 = 40 }")
	if n := c.VIPs[0].Nodes; n[0].Priority != 40 || n[1].Priority != 255 {
		t.Errorf("priorities are %v", n)
	}
}

// TestVIPPrograms: what a command names is looked for on the node that runs it, and only there.
func TestVIPPrograms(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	lines := "address = \"10.0.0.10/24\"\nnodes = [server.lb1, server.lb2]\nnotify = [\"" + program + "\", \"-x\", \"two words\"]\ncheck \"a\" {\n  command = \"/no/such/program\"\n}"
	c := parseVIP(t, "lb1", lines)
	if len(c.Warnings) != 1 || c.Warnings[0].Summary != "Program not there" || c.Warnings[0].Line != 18 {
		t.Errorf("warnings:\n%s", Text(c.Warnings))
	}
	v := c.VIPs[0]
	if diff := cmp.Diff([]string{program, "-x", "two words"}, v.Notify); diff != "" {
		t.Errorf("notify (-want +got):\n%s", diff)
	}
	want := []VIPCheck{{Name: "a", Command: []string{"/no/such/program"}, Every: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3}}
	if diff := cmp.Diff(want, v.Checks); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	if c := parseVIP(t, "lb3", lines); len(c.Warnings) > 0 {
		t.Errorf("on a node without the vip:\n%s", Text(c.Warnings))
	}
}

// TestVIPEnv: what the environment says counts as if it stood in the file.
func TestVIPEnv(t *testing.T) {
	env := map[string]string{"UNICAST": "false", "ID": "51", "IF": "eth7", "RANK": "99", "VERSION": "2", "A": "10.0.0.10/24"}
	o := Options{Node: "lb1", Env: func(name string) (string, bool) { s, ok := env[name]; return s, ok }}
	src := vipFile(`address = env("A")
nodes = [server.lb1, server.lb2]
unicast = env("UNICAST")
router_id = env("ID")
interface = { lb1 = env("IF"), lb2 = "eth0" }
priorities = { lb1 = env("RANK"), lb2 = 100 }
version = env("VERSION")`)
	c, err := Parse("a.hcl", []byte(src), o)
	if err != nil {
		t.Fatal(err)
	}
	v := c.VIPs[0]
	if v.Unicast4 || v.RouterID != 51 || v.Interface != "eth7" || v.Nodes[0].Priority != 99 || v.Version != 2 || v.Interval != time.Second || len(v.Addresses) != 1 {
		t.Errorf("vip is %+v", v)
	}
	env["UNICAST"] = "true"
	if c, err = Parse("a.hcl", []byte(src), o); err != nil || !c.VIPs[0].Unicast4 {
		t.Errorf("with unicast: %+v, %v", c, err)
	}
	if _, err := Parse("a.hcl", []byte(src+"vip \"b\" {\n  address = \"10.3.0.51/24\"\n  nodes = [server.lb1, server.lb2]\n}\n"), o); err == nil {
		t.Error("a router ID of the environment is not compared")
	}
}
