package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// Region is a place with servers.
type Region struct {
	Name string
}

// Server is a machine that does work. A server that was written as a string has that string as its name.
type Server struct {
	Name   string
	Host   string // IP address or host name, without brackets; "" with Unix
	Unix   string // absolute path of a unix socket, written "unix:/run/php.sock"; "" is TCP
	Port   int    // 0 if only the pool knows it
	Region string // "" without one
	Weight int    // 1 - 1000, the default in every pool
}

// named is a name that a server or region has taken.
type named struct {
	kind string
	at   hcl.Range
}

// readServers reads regions, the servers map, and the server blocks that say more about them.
func (d *decoder) readServers(root *body, c *Config) {
	d.readServerMap(root, "", c)
	for _, b := range root.all("region") {
		if !d.takeName(b.label, "region", b.labelAt) {
			continue
		}
		c.Regions = append(c.Regions, Region{Name: b.label})
		d.regions[b.label] = nil
		d.readServerMap(b.body, b.label, c)
	}
	more := map[string]*block{}
	for _, b := range root.all("server") {
		s := d.servers[b.label]
		if s == nil {
			d.fail(b.labelAt, "No such server", "There is no server named %q. Name it with its address in servers = { ... } first.%s",
				shorten(b.label), d.suggest(b.label, d.serverNames))
			continue
		}
		if first := more[b.label]; first != nil {
			d.fail(b.labelAt, "Block written twice", "There is already a block for server %q on line %d.", b.label, first.labelAt.Start.Line)
			continue
		}
		more[b.label] = b
		s.Weight = b.count("weight", 1, 1, 1000)
	}
}

func (d *decoder) readServerMap(b *body, region string, c *Config) {
	for _, e := range b.object("servers", `an object such as { web1 = "10.0.0.21" }`) {
		if !d.takeName(e.key, "server", e.at) {
			continue
		}
		s := &Server{Name: e.key, Region: region, Weight: 1}
		if e.kind == unjudged {
			// Its address is another machine's to know, but the name must be there for what refers to it.
			s.Host, s.Port = e.key+".invalid", 1
			d.addServer(s, c)
			continue
		}
		if !b.want("the address of "+e.key, &e.value, text, "a text in quotes") {
			continue
		}
		if problem := s.address(e.text); problem != "" {
			d.fail(e.value.at, "Not an address", "%s: %s.", e.show(), problem)
			continue
		}
		d.addServer(s, c)
	}
}

func (d *decoder) addServer(s *Server, c *Config) {
	c.Servers = append(c.Servers, s)
	d.servers[s.Name] = s
	if s.Region != "" {
		d.regions[s.Region] = append(d.regions[s.Region], s)
	}
}

// takeName checks the name of a server or region and that nothing else has it.
func (d *decoder) takeName(name, kind string, at hcl.Range) bool {
	if problem := badName(name); problem != "" {
		d.fail(at, "Not a name", "%q cannot name a %s: %s.", shorten(name), kind, problem)
		return false
	}
	if first, ok := d.names[name]; ok {
		d.fail(at, "Name already taken", "%q names a %s on line %d. The names of servers and regions are unique in the file.",
			name, first.kind, first.at.Start.Line)
		return false
	}
	d.names[name] = named{kind, at}
	return true
}

// badName says what is wrong with a name that references use: it must be what HCL takes after a dot.
func badName(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > 63:
		return "it is longer than 63 characters"
	case !isLetter(name[0]):
		return "a name begins with a letter"
	}
	for _, c := range []byte(name) {
		if !isLetter(c) && !isDigit(c) && c != '-' && c != '_' {
			return "a name has letters a to z, digits, - and _"
		}
	}
	return ""
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

const (
	unixPrefix = "unix:"
	maxUnix    = 107 // bytes of sun_path without its zero byte, unix(7)
)

// address takes over where the server is: an IP address or host name with an optional port, or a unix socket.
func (s *Server) address(a string) (problem string) {
	path, unix := strings.CutPrefix(a, unixPrefix)
	if !unix {
		s.Host, s.Port, problem = splitAddress(a)
		return problem
	}
	switch {
	case !strings.HasPrefix(path, "/"):
		return `the path of a unix socket is absolute, as in "unix:/run/php/php-fpm.sock"`
	case len(path) > maxUnix:
		return fmt.Sprintf("the path of a unix socket has at most %d characters; this one has %d", maxUnix, len(path))
	case strings.ContainsFunc(path, unicode.IsControl) || !utf8.ValidString(path):
		return "the path has a character that cannot be shown"
	}
	s.Unix = path
	return ""
}

// splitAddress reads an IP address or host name with an optional port; IPv6 is in brackets if it has one.
func splitAddress(s string) (host string, port int, problem string) {
	if s == "" {
		return "", 0, "it is empty"
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return checkHost(a, s, 0)
	}
	host = s
	if strings.HasPrefix(s, "[") {
		inside, rest, ok := strings.Cut(s[1:], "]")
		if !ok || (rest != "" && rest[0] != ':') {
			return "", 0, `IPv6 with a port is written "[2001:db8::1]:8080"`
		}
		host = inside
		if rest != "" {
			if port, problem = parsePort(rest[1:]); problem != "" {
				return "", 0, problem
			}
		}
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Is6() {
			return "", 0, "only an IPv6 address stands in brackets"
		}
		return checkHost(a, host, port)
	}
	if strings.Contains(s, "://") {
		return "", 0, "an address is not a URL: leave out the scheme and the path"
	}
	if h, p, ok := strings.Cut(s, ":"); ok {
		if strings.Contains(p, ":") {
			return "", 0, `this is not an IPv6 address; IPv6 with a port is written "[2001:db8::1]:8080"`
		}
		if host = h; host == "" {
			return "", 0, "the host is missing"
		}
		if port, problem = parsePort(p); problem != "" {
			return "", 0, problem
		}
		if a, err := netip.ParseAddr(host); err == nil {
			return checkHost(a, host, port)
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if problem = badHostName(host); problem != "" {
		return "", 0, problem
	}
	return host, port, ""
}

func checkHost(a netip.Addr, s string, port int) (string, int, string) {
	switch {
	case a.IsUnspecified():
		return "", 0, s + " is no machine's address"
	case a.IsMulticast():
		return "", 0, s + " is a multicast address"
	}
	return a.Unmap().String(), port, ""
}

func parsePort(s string) (int, string) {
	n, err := strconv.Atoi(s)
	if err != nil || strings.ContainsAny(s, "+-") {
		return 0, strconv.Quote(shorten(s)) + " is not a port; a port is a number from 1 to 65535"
	}
	if n < 1 || n > 65535 {
		return 0, "a port is a number from 1 to 65535, not " + strconv.Itoa(n)
	}
	return n, ""
}

// badHostName says what is wrong with a DNS name. Underscores are taken: internal names have them.
func badHostName(s string) string {
	if s == "" || len(s) > 253 {
		return "a host name has 1 to 253 characters"
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return "each part of a host name between the dots has 1 to 63 characters"
		}
		for _, c := range []byte(label) {
			if c >= 0x80 {
				return `a host name is written in ASCII; names in other scripts in their "xn--" form`
			}
			if !isLetter(c) && !isDigit(c) && c != '-' && c != '_' {
				return "a host name has letters, digits, - and _ between its dots"
			}
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return "no part of a host name begins or ends with -"
		}
	}
	if last := s[strings.LastIndexByte(s, '.')+1:]; !slices.ContainsFunc([]byte(last), isLetter) {
		return "this is neither an IP address nor a host name"
	}
	return ""
}

// server resolves a member: server.web1 or a text with an address. It reports and returns nil otherwise.
func (d *decoder) server(v value, key string) *Server {
	switch v.kind {
	case ref:
		switch v.ref.root {
		case "server":
			if s := d.servers[v.ref.name]; s != nil {
				return s
			}
			if d.names[v.ref.name].kind == "server" {
				return nil // its address is wrong, which was reported
			}
			d.fail(v.at, "No such server", "There is no server named %q.%s", v.ref.name, d.suggest(v.ref.name, d.serverNames))
			return nil
		case "region":
			d.fail(v.at, "Region not allowed here", "%s takes servers. Name them: server.NAME for each server of region %q that shall be used.", key, v.ref.name)
			return nil
		}
		d.fail(v.at, "Wrong reference", "%s takes servers, not %s.", key, v.ref)
	case text:
		if v.secret {
			d.fail(v.at, "Secret not allowed here", "An address is shown in the status and in logs, so it cannot be a secret.")
			return nil
		}
		if s := d.literal[v.text]; s != nil {
			return s
		}
		if d.names[v.text].kind == "server" {
			d.fail(v.at, "Reference needed", "%q is the name of a server, but a text is an address. Write %s.", v.text, d.written(reference{"server", v.text}))
			return nil
		}
		s := &Server{Name: v.text, Weight: 1}
		if problem := s.address(v.text); problem != "" {
			d.fail(v.at, "Not an address", "%s: %s.", v.show(), problem)
			return nil
		}
		d.literal[v.text] = s
		return s
	case bad, unjudged:
	default:
		d.fail(v.at, "Wrong kind of value", "%s takes references such as server.web1 and addresses such as \"10.0.0.11:8080\", not %s.", key, v.show())
	}
	return nil
}

// literalServers returns the servers of pools that were written as strings, each once.
func (d *decoder) literalServers(pools []*Pool) []*Server {
	seen := map[*Server]bool{}
	var out []*Server
	for _, p := range pools {
		for _, m := range p.Members {
			if d.literal[m.Server.Name] == m.Server && !seen[m.Server] {
				seen[m.Server] = true
				out = append(out, m.Server)
			}
		}
	}
	return out
}

// written is how the file's syntax writes a reference.
func (d *decoder) written(r reference) string {
	if strings.HasSuffix(d.name, ".json") {
		return fmt.Sprintf("\"${%s}\"", r)
	}
	return r.String() + " without quotes"
}

func (d *decoder) serverNames() []string { return d.known("server") }
func (d *decoder) regionNames() []string { return d.known("region") }

// known lists the names of servers or regions, for suggestions.
func (d *decoder) known(kind string) []string {
	var names []string
	for name, n := range d.names {
		if n.kind == kind {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
