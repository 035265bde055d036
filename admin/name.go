package admin

import (
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/agext/levenshtein"

	"skein/config"
)

// resolve returns the names of the servers that a person's word stands for. It may be
//
//   - a server's name, or of one that is written as a string, that string (a node is a server too),
//   - a server's address, with or without a port that one of its members has, or its unix socket: all servers there,
//   - a region's name: all its servers.
func resolve(c *config.Config, name string) ([]string, error) {
	if name == "" {
		return nil, refuse(http.StatusBadRequest, "", "name a server, a node or a region")
	}
	var servers []string
	add := func(s string) {
		if !slices.Contains(servers, s) {
			servers = append(servers, s)
		}
	}
	for _, s := range c.Servers {
		if s.Name == name {
			return []string{s.Name}, nil
		}
	}
	for _, s := range c.Servers {
		if s.Region == name || s.Host == name || s.Unix != "" && (s.Unix == name || "unix:"+s.Unix == name) || s.Port > 0 && net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) == name {
			add(s.Name)
		}
	}
	for _, p := range c.Pools {
		for _, m := range p.Members {
			if net.JoinHostPort(m.Server.Host, strconv.Itoa(m.Port)) == name {
				add(m.Server.Name)
			}
		}
	}
	if len(servers) > 0 {
		return servers, nil
	}
	for _, r := range c.Regions {
		if r.Name == name {
			return nil, refuse(http.StatusNotFound, "", "region %q has no servers", name)
		}
	}
	hint := "see the names with: skein status"
	if s := nearest(c, name); s != "" {
		hint = "did you mean " + strconv.Quote(s) + "?"
	}
	return nil, refuse(http.StatusNotFound, hint, "no server, node or region is called %q", name)
}

// nearest is the name that was probably meant; "" if none is near.
func nearest(c *config.Config, name string) string {
	best, distance := "", 3
	try := func(s string) {
		if d := levenshtein.Distance(name, s, nil); d < distance && d < len(s) {
			best, distance = s, d
		}
	}
	for _, r := range c.Regions {
		try(r.Name)
	}
	for _, s := range c.Servers {
		try(s.Name)
	}
	return best
}
