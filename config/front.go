package config

import (
	"crypto/tls"
	"slices"
	"time"
)

// Front is what a listener with TLS does before it knows a request. Blocks that share a listener agree about all but
// Certificates, ACME and SelfSigned.
type Front struct {
	Certificates []*TLS
	ACME         bool // certificates for the block's hosts come from the acme block
	SelfSigned   bool
	MinVersion   uint16  // tls.VersionTLS12 or tls.VersionTLS13
	Tickets      Secrets // that session ticket keys are derived from, the newest first; empty is random keys of this process
	ClientCA     []byte  // PEM; nil asks no client for a certificate
	ClientAuth   string  // "require", "request"; "" without ClientCA
}

// HSTS is the Strict-Transport-Security field of every answer over TLS (RFC 6797); zero MaxAge is off.
type HSTS struct {
	MaxAge     time.Duration
	Subdomains bool
	Preload    bool
}

func frontBlocks() []Block {
	return []Block{{Path: "http.https", Keys: []Key{
		{"min_version", "text", "\"1.2\"", "Oldest version of TLS: `1.2` or `1.3`."},
		{"tickets", "text or list", "", "Secrets that keys of session tickets are made of, the newest first, of at least 32 bytes each: nodes with the same ones resume each other's sessions. Without it the keys are random, and this process's own."},
		{"client_ca", "path", "", "File with the certificates (PEM) that clients must come from; clients are asked for a certificate then."},
		{"client_auth", "text", "", "With `client_ca`: `require` (as without this key) refuses clients without a certificate, `request` lets them in."},
		{"hsts", "time", "\"0s\"", "How long browsers shall use this site over TLS only (RFC 6797); 0 is off."},
		{"hsts_subdomains", "bool", "false", "... and every name below it."},
		{"hsts_preload", "bool", "false", "Ask to be put into the list that browsers come with. Needs `hsts` of 365 days and `hsts_subdomains`. It takes months to get out of it."},
	}}}
}

const minTicket = 32 // bytes of a secret: as many as a key has

// readFront reads tls, https and redirect.
func (d *decoder) readFront(b *block, p *placedHTTP) {
	https := b.one("https")
	if !b.has("tls") {
		const without = "%s belongs to TLS, and %s has none. Write tls = \"acme\", or tls = tls.NAME for certificates from files."
		if https != nil {
			d.fail(https.labelAt, "Block without effect", without, "https", b.title())
		}
		if b.has("redirect") {
			d.fail(b.nameAt("redirect"), "Key without effect", without, "redirect", b.title())
		}
		return
	}
	p.TLS = &Front{}
	d.readCertificates(b, p)
	d.readHTTPS(d.orEmpty(https), p)
	p.Redirect, p.redirectAt = d.addresses(b, "redirect")
	if p.TLS.ACME {
		d.acmeHosts(p)
	}
}

// readCertificates reads where the certificates come from.
func (d *decoder) readCertificates(b *block, p *placedHTTP) {
	v := b.value("tls")
	if v.kind == list && len(v.items) == 0 {
		d.fail(v.at, "Empty list", "tls needs \"acme\", \"self-signed\" or references such as tls.shop. Leave it out to listen without TLS.")
	}
	words := []string{"acme", "self-signed"}
	f := p.TLS
	for _, v := range b.list("tls") {
		again := false
		switch {
		case v.kind == bad || v.kind == unjudged:
		case v.kind == ref:
			if t := d.tlsRef(v, p.here); t != nil {
				again = slices.Contains(f.Certificates, t)
				f.Certificates = append(f.Certificates, t)
			}
		case v.kind != text || v.secret:
			d.fail(v.at, "Wrong kind of value", "tls takes \"acme\", \"self-signed\" and references such as tls.shop, not %s.", v.show())
		case v.text == "acme":
			again, f.ACME = f.ACME, true
		case v.text == "self-signed":
			again, f.SelfSigned = f.SelfSigned, true
		case d.certs[v.text] != nil:
			d.fail(v.at, "Reference needed", "%q is the name of a tls block. Write %s.", v.text, d.written(reference{"tls", v.text}))
		default:
			d.fail(v.at, "Unknown tls", "tls takes \"acme\", \"self-signed\" and references such as tls.shop, not %s.%s", v.show(), didYouMean(v.text, words))
		}
		if again {
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
		}
	}
	if f.SelfSigned && len(b.list("tls")) > 1 {
		d.fail(v.at, "Settings contradict each other", "\"self-signed\" is for a site that has no certificate yet. Leave it out beside others.")
	}
}

func (d *decoder) readHTTPS(b *body, p *placedHTTP) {
	f := p.TLS
	f.MinVersion = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[b.choice("min_version", "1.2", "1.2", "1.3")]
	d.readTickets(b, f)
	f.ClientCA = d.readCA(b, "client_ca")
	switch auth := b.choice("client_auth", "require", "require", "request"); {
	case b.has("client_ca"):
		f.ClientAuth = auth
	case b.has("client_auth"):
		d.fail(b.nameAt("client_auth"), "Key without effect", "Without client_ca no client is asked for a certificate. Write client_ca = \"clients.pem\" as well.")
	}
	h := &p.HSTS
	h.MaxAge = b.time("hsts", 0, 0, 10*365*24*time.Hour)
	h.Subdomains = b.flag("hsts_subdomains", false)
	h.Preload = b.flag("hsts_preload", false)
	if h.MaxAge%time.Second != 0 {
		d.fail(b.where("hsts"), "Not a time", "hsts is in whole seconds.")
	}
	switch {
	case h.Subdomains && h.MaxAge == 0 && b.value("hsts").kind != unjudged:
		d.fail(b.nameAt("hsts_subdomains"), "Key without effect", "hsts is off, so hsts_subdomains does nothing. Write hsts = \"365d\" as well.")
	case h.Preload && (h.MaxAge < 365*24*time.Hour || !h.Subdomains) && b.value("hsts").kind != unjudged && b.value("hsts_subdomains").kind != unjudged:
		// The rules of hstspreload.org, whose list Chrome, Firefox and Safari use.
		d.fail(b.nameAt("hsts_preload"), "Not enough for the list", "The list of sites that browsers come with takes sites with hsts of at least \"365d\" and hsts_subdomains = true only.")
	}
}

// readTickets reads the secrets of session tickets. Their values are in no error.
func (d *decoder) readTickets(b *body, f *Front) {
	const most = 10 // each handshake that resumes tries all of them
	items := b.list("tickets")
	if v := b.value("tickets"); v.kind == list && len(items) == 0 {
		d.fail(v.at, "Empty list", "Leave tickets out to have random keys.")
	}
	if len(items) > most {
		d.fail(items[most].at, "Too many secrets", "tickets takes at most %d secrets; sessions live for hours only.", most)
		return
	}
	for _, v := range items {
		s := []byte(b.key("tickets", v))
		switch {
		case v.kind != text || !v.secret && !v.loose:
		case len(s) < minTicket:
			d.fail(v.at, "Secret too short", "A secret for tickets has at least %d bytes; this one has %d. Make one with: openssl rand -base64 48", minTicket, len(s))
		case slices.ContainsFunc(f.Tickets, func(t []byte) bool { return string(t) == string(s) }):
			d.fail(v.at, "Listed twice", "This secret is already in the list.")
		default:
			f.Tickets = append(f.Tickets, s)
		}
	}
}

// readProtocols reads the versions of HTTP that the block's listeners speak.
func (d *decoder) readProtocols(b *block) []string {
	def := []string{"http/1.1"}
	if b.has("tls") {
		def = []string{"http/1.1", "h2"}
	}
	if !b.has("protocols") {
		return def
	}
	got := d.words(b.body, "protocols", "http/1.1", "h2", "h3", "h2c")
	wrong := false
	for _, v := range b.texts("protocols") {
		problem := ""
		switch {
		case v.text == "h2" && !b.has("tls"):
			problem = "h2 is HTTP/2 over TLS, which the block does not have. Write tls = tls.NAME, or \"h2c\" for HTTP/2 in plain text"
		case v.text == "h3" && !b.has("tls"):
			problem = "HTTP/3 is always encrypted. Write tls = tls.NAME as well"
		case v.text == "h2c" && b.has("tls"):
			problem = "h2c is HTTP/2 in plain text. With tls write \"h2\""
		}
		if problem != "" {
			d.fail(v.at, "Protocol does not fit", "%s.", problem)
			wrong = true
		}
	}
	if !wrong && len(got) > 0 && len(got) == len(b.list("protocols")) && !slices.Contains(got, "http/1.1") && !slices.Contains(got, "h2") && !slices.Equal(got, []string{"h2c"}) {
		d.fail(b.where("protocols"), "Missing http/1.1", "Clients that cannot speak %s would be turned away, and those that can begin without it. Add \"http/1.1\" or \"h2\".", quoted(got))
	}
	if len(got) == 0 {
		return def
	}
	return got
}
