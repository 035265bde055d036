package cli

import (
	"net"
	"net/netip"
	"os"

	"skein/config"
	"skein/policy"
)

// defaultFiles are where a configuration is looked for when none is named.
func defaultFiles() []string { return []string{"skein.hcl", "/etc/skein/skein.hcl"} }

// file is the configuration that a command works on.
func file(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	files := defaultFiles()
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	return files[0] // whose absence is then reported
}

// options are how this machine reads a configuration.
func options(node string) config.Options {
	o := config.Options{Policies: policy.Names(), Node: node}
	// Both serve only to find out which node this is. A machine that cannot tell is asked for its --name.
	o.Hostname, _ = os.Hostname()
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			o.Addrs = append(o.Addrs, p.Addr())
		}
	}
	return o
}
