package config

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ACME is the acme block: where certificates that look after themselves come from.
type ACME struct {
	Pos        Pos
	Email      string
	Directory  string   // URL of the CA's directory; default Let's Encrypt
	CA         []byte   // PEM: roots that the CA's own TLS is verified with; nil is the system's
	Challenges []string // of "tls-alpn-01", "http-01", "dns-01"
	DNS        []string // command and arguments that publishes a DNS-01 record; empty without dns-01
	Key        string   // "p256", "p384", "rsa2048"
	EAB        *EAB     // nil is none
	OnDemand   []string // hosts, "*.example.com" among them, whose certificate is obtained at their first handshake
	Storage    string   // directory
}

// EAB is an external account binding (RFC 8555 section 7.3.4).
type EAB struct {
	ID  string
	Key string // base64url, secret
}

// Format hides the key from every verb of package fmt.
func (e EAB) Format(f fmt.State, _ rune) { fmt.Fprint(f, e.ID+" "+hidden) }

// MarshalText hides the key from encoders.
func (e EAB) MarshalText() ([]byte, error) { return []byte(e.ID + " " + hidden), nil }

const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

func acmeBlocks() []Block {
	return []Block{
		{Path: "acme", Blocks: []string{"eab"}, Keys: []Key{
			{"email", "text", "", "Where the CA may write to about the account."},
			{"directory", "text", "\"" + letsEncrypt + "\"", "URL of the CA's ACME directory; https."},
			{"ca", "path", "", "File with the certificates (PEM) that the CA's own TLS is verified with, for a CA of your own; without it the system's."},
			{"challenges", "text or list", "[\"tls-alpn-01\", \"http-01\"]", "How the CA may verify that a host is yours: `tls-alpn-01` (over port 443), `http-01` (over port 80) and `dns-01`, which needs `dns` and is the only one for `*.example.com`."},
			{"dns", "text or list", "", "`dns-01` only: a program and its first arguments; it is called with `present NAME VALUE` and `cleanup NAME VALUE` in addition, to publish and remove a TXT record."},
			{"key", "text", "\"p256\"", "Kind of the certificates' keys: `p256`, `p384` or `rsa2048`."},
			{"on_demand", "text or list", "[]", "Hosts, `*.example.com` among them, whose certificate is obtained at their first handshake. Nobody else's ever is. They need not stand in `hosts`."},
			{"storage", "path", "", "Directory of the account and the certificates; without it `acme` in the `state` directory."},
		}},
		{Path: "acme.eab", Keys: []Key{
			{"id", "text", "", "Needed. Name of the key that the CA gave for its external account binding."},
			{"key", "text", "", "Needed. The key itself in base64url, as `secret(\"name\")`."},
		}},
	}
}

// usesACME says whether an http block asks for certificates from the CA.
func usesACME(b *block) bool {
	return slices.ContainsFunc(b.list("tls"), func(v value) bool { return v.kind == text && v.text == "acme" })
}

// readACME reads the acme block. It stands before the http blocks, which need to know what it can do.
func (d *decoder) readACME(b *block, https []*block, placed []bool, c *Config) {
	if b == nil {
		return
	}
	used, here := false, false
	for i, h := range https {
		if usesACME(h) {
			used, here = true, here || placed[i]
		}
	}
	if !used {
		d.warn(b.labelAt, "Block not used", "No http block has tls = \"acme\", so nothing asks for certificates.")
	}
	b.scope.elsewhere = !here || d.o.Elsewhere
	a := &ACME{
		Pos:       b.pos(),
		Email:     b.str("email", ""),
		Directory: b.str("directory", letsEncrypt),
		CA:        d.readCA(b.body, "ca"),
		Key:       b.choice("key", "p256", "p256", "p384", "rsa2048"),
		OnDemand:  d.onDemand(b),
		Storage:   b.filePath("storage", filepath.Join(c.State, "acme")),
		EAB:       d.readEAB(b.one("eab")),
	}
	d.acme = a
	if here {
		c.ACME = a
	}
	switch {
	case !b.has("email"):
		d.warn(b.labelAt, "No e-mail address", "The CA cannot reach anybody about the account. Write email = \"ops@example.com\".")
	case b.value("email").kind == text && badEmail(a.Email):
		d.fail(b.where("email"), "Not an e-mail address", "%s: write the address alone, as in \"ops@example.com\".", b.value("email").show())
	}
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		// RFC 8555 section 6.1: ACME is spoken over HTTPS.
		d.fail(b.where("directory"), "Not a directory of a CA", "%q is not an https URL, such as %q.", shorten(a.Directory), letsEncrypt)
	}
	d.readChallenges(b, a)
}

func badEmail(s string) bool {
	user, host, ok := strings.Cut(s, "@")
	return !ok || user == "" || strings.ContainsAny(s, " ,;<>\"") || !isPrintable(s) || badHostName(strings.ToLower(host)) != ""
}

// readChallenges reads challenges and dns, which belongs to one of them.
func (d *decoder) readChallenges(b *block, a *ACME) {
	a.Challenges = d.words(b.body, "challenges", "tls-alpn-01", "http-01", "dns-01")
	if !b.has("challenges") {
		a.Challenges = []string{"tls-alpn-01", "http-01"}
	}
	dns := slices.Contains(a.Challenges, "dns-01")
	if b.has("challenges") && (len(a.Challenges) == 0 || len(b.list("challenges")) != len(a.Challenges)) {
		// What is wrong there was reported, or another node knows it: nothing else is judged by it.
		a.Challenges = []string{"tls-alpn-01", "http-01", "dns-01"}
		dns = b.has("dns")
	}
	for _, v := range b.texts("dns") {
		a.DNS = append(a.DNS, v.text)
	}
	switch {
	case dns && !b.has("dns"):
		d.fail(b.where("challenges"), "Missing dns", "The challenge dns-01 needs a program that publishes records: dns = [\"/etc/skein/dns-hook\"].")
	case !b.has("dns"):
		return
	case !dns:
		d.fail(b.nameAt("dns"), "Key without effect", "dns belongs to the challenge dns-01, which is not in challenges. Write challenges = [\"dns-01\"].")
	}
	if v := b.value("dns"); v.kind == list && len(v.items) == 0 || len(a.DNS) > 0 && a.DNS[0] == "" {
		d.fail(v.at, "Empty list", "dns needs a program that publishes records, such as [\"/etc/skein/dns-hook\"].")
		return
	}
	// A name without a slash is looked for in PATH, as a shell does.
	if len(a.DNS) > 0 && strings.Contains(a.DNS[0], "/") {
		a.DNS[0] = d.rooted(a.DNS[0])
		if st, err := os.Stat(a.DNS[0]); d.o.ReadFile == nil && !b.scope.elsewhere && (err != nil || !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0) {
			d.warn(b.where("dns"), "Program not there", "%s is no program that can be run. Until it is, no certificate is obtained through dns-01.", a.DNS[0])
		}
	}
}

// onDemand reads the list of hosts that may get a certificate because a client asks for them.
func (d *decoder) onDemand(b *block) []string {
	var out []string
	for _, v := range b.texts("on_demand") {
		name, problem := siteHost(v.text)
		if _, err := netip.ParseAddr(name); problem == "" && err == nil {
			problem = "clients do not name an address in a handshake"
		}
		if v.text == "*" {
			problem = "anybody could make the CA give a certificate for any name; write those that may be, as in \"*.shops.example.com\""
		}
		switch {
		case problem != "":
			d.fail(v.at, "Not a host name", "%s: %s.", v.show(), problem)
		case slices.Contains(out, name):
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
		default:
			out = append(out, name)
		}
	}
	return out
}

func (d *decoder) readEAB(b *block) *EAB {
	if b == nil {
		return nil
	}
	e := &EAB{ID: b.str("id", "")}
	for _, key := range []string{"id", "key"} {
		if !b.has(key) {
			d.fail(b.labelAt, "Missing "+key, "eab needs both id and key; the CA gives them: id = \"kid\", key = secret(\"eab\").")
		}
	}
	if v := b.value("id"); v.kind == text && !v.secret && v.text == "" {
		d.fail(v.at, "Missing id", "The id is empty. The CA gives it together with the key.")
	}
	if !b.has("key") {
		return e
	}
	v := b.value("key")
	e.Key = strings.TrimRight(b.key("key", v), "=")
	if _, err := base64.RawURLEncoding.DecodeString(e.Key); err != nil || strings.ContainsAny(e.Key, "\r\n") || e.Key == "" && v.kind == text && (v.secret || v.loose) {
		d.fail(v.at, "Not a key", "The key of an external account binding is in base64url: letters, digits, - and _. This one is not.")
	}
	return e
}

// acmeHosts checks, for one http block, that the CA can give certificates for its hosts.
func (d *decoder) acmeHosts(p *placedHTTP) {
	at := p.where("tls")
	switch {
	case d.acme == nil:
		d.fail(at, "Missing acme block", "tls = \"acme\" needs an acme block in the file:\n\nacme {\n  email = \"ops@example.com\"\n}")
		return
	case !p.has("hosts") && len(d.acme.OnDemand) == 0:
		d.fail(at, "Missing hosts", "A CA gives certificates for names, and %s has no hosts. Write hosts = [\"www.example.com\"], or on_demand in the acme block.", p.title())
	}
	for _, v := range p.hostAt {
		name, _ := siteHost(v.text)
		if _, err := netip.ParseAddr(name); err == nil {
			d.fail(v.at, "Not a name", "%s is an address; a CA gives certificates for names. Take it out of hosts, or use a certificate from files.", v.show())
		}
		// RFC 8555 section 7.1.3: a wildcard is only ever verified by DNS with the CAs that there are.
		// Names on demand get one each.
		if strings.HasPrefix(name, "*.") && !slices.Contains(d.acme.Challenges, "dns-01") && !slices.Contains(d.acme.OnDemand, name) {
			d.fail(v.at, "Wildcard needs dns-01", "A CA verifies %s through DNS only. Write challenges = [\"dns-01\"] and dns = [\"/etc/skein/dns-hook\"] in the acme block, or name each host, or use on_demand for it.", v.show())
		}
	}
}

// acmePort warns if the CA has no way to ask: it connects to port 80 for http-01 (RFC 8555 section 8.3), and to port 443 for
// tls-alpn-01 (RFC 8737 section 3). It is no error, as something in front may send these ports on to others.
func (d *decoder) acmePort(b *block, on []*placedHTTP, c *Config) {
	if c.ACME == nil || slices.Contains(c.ACME.Challenges, "dns-01") {
		return
	}
	http01 := slices.Contains(c.ACME.Challenges, "http-01")
	alpn01 := slices.Contains(c.ACME.Challenges, "tls-alpn-01")
	for _, p := range on {
		plain, secure := p.Listen, []string(nil)
		if p.TLS != nil {
			plain, secure = p.Redirect, p.Listen
		}
		if http01 && anyPort(plain, "80") || alpn01 && anyPort(secure, "443") {
			return
		}
	}
	at := b.labelAt
	if b.has("challenges") {
		at = b.where("challenges")
	}
	if alpn01 {
		d.warn(at, "The CA has nowhere to ask", "The challenge tls-alpn-01 comes over port 443 and http-01 over port 80, and no block of this node has them. Write listen = \":443\" or redirect = [\":80\"] in the block with tls = \"acme\", unless something in front sends these ports on to Skein.")
		return
	}
	d.warn(at, "Nothing listens on port 80", "The challenge http-01 comes over port 80, and no block of this node has it. Write redirect = [\":80\"] in the block with tls = \"acme\".")
}

// anyPort says whether one of the addresses has the port.
func anyPort(addrs []string, want string) bool {
	return slices.ContainsFunc(addrs, func(addr string) bool {
		_, port := cutPort(addr)
		return port == want
	})
}
