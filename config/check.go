package config

import (
	"crypto/x509"
	"strconv"
	"strings"
	"time"
)

// Check is active probing.
type Check struct {
	Kind        string // http, https, tcp
	Path        string // http and https
	Host        string // Host field and, for https, the name that the certificate must have; "" is the member's host ("localhost" of a unix socket)
	CA          []byte // PEM; nil is the system's
	Insecure    bool   // https takes whatever certificate it gets, as the pool does
	Cert        []byte // PEM of our own certificate, nil for none
	Key         Secret // PEM
	Port        int    // 0 is the member's
	Every       time.Duration
	FastEvery   time.Duration // while a member's state is changing
	Timeout     time.Duration
	Rise, Fall  int
	StatusFrom  []StatusRange // empty for tcp
	Body        string        // must be contained in the first 64 KiB; "" is not looked at
	SendProxy   bool          // begin with a PROXY protocol v2 header, as the pool does
	JitterShare float64       // 0 - 1: each interval is changed at random by up to this share
}

// StatusRange is an inclusive range of status codes.
type StatusRange struct{ From, To int }

func checkBlock() Block {
	return Block{Path: "pool.check", Keys: []Key{
		{"http", "text", "", "Path to GET without TLS. One of `http`, `https` and `tcp` is needed."},
		{"https", "text", "", "Path to GET with TLS."},
		{"tcp", "bool", "", "`true`: a connection that opens is enough."},
		{"port", "number", "", "Port to probe; without it the member's. A unix socket has none."},
		{"host", "text", "", "Host field of the probe, and the name that the certificate must have; without it the `name` of the pool's `tls`, or the member's host."},
		{"ca", "path", "", "File with the certificates (PEM) that `https` trusts; without it those of the pool's `tls`, or the system's."},
		{"every", "time", "\"2s\"", "Time between two probes."},
		{"fast", "time", "\"500ms\"", "Time between two probes while a member's state is changing; never above `every`."},
		{"timeout", "time", "\"1s\"", "How long a probe may take; never above `every`."},
		{"rise", "number", "2", "Good probes in a row that make a member healthy."},
		{"fall", "number", "3", "Bad probes in a row that make it unhealthy."},
		{"status", "text or list", "[\"200-399\"]", "Status codes that are good: a range, a number, or a list of both."},
		{"body", "text", "", "The answer's first 64 KiB must contain this."},
		{"jitter", "share", "\"10%\"", "Each interval is changed at random by up to this share, so that nodes do not probe in step."},
	}}
}

func (d *decoder) readCheck(b *block, p *Pool) *Check {
	if b == nil {
		return nil
	}
	c := &Check{
		Port:        0,
		Every:       b.time("every", 2*time.Second, 100*time.Millisecond, time.Hour),
		Rise:        b.count("rise", 2, 1, 100),
		Fall:        b.count("fall", 3, 1, 100),
		JitterShare: b.share("jitter", 0.1),
	}
	if b.has("port") {
		c.Port = b.count("port", 1, 1, 65535)
	}
	c.FastEvery = b.time("fast", min(500*time.Millisecond, c.Every), 10*time.Millisecond, time.Hour)
	c.Timeout = b.time("timeout", min(time.Second, c.Every), time.Millisecond, time.Hour)
	if c.FastEvery > c.Every {
		d.fail(b.where("fast"), "Times contradict each other", "fast is for a state that is changing, so it is at most every, %s.", showDuration(c.Every))
	}
	if c.Timeout > c.Every {
		d.fail(b.where("timeout"), "Times contradict each other", "A probe ends before the next begins, so timeout is at most every, %s.", showDuration(c.Every))
	}
	d.readCheckKind(b, c)
	if c.Kind == "tcp" {
		for _, key := range []string{"host", "status", "body"} {
			if b.has(key) {
				d.fail(b.nameAt(key), "Key without effect", "%s belongs to http and https checks; a tcp check only opens a connection.", key)
			}
		}
	} else {
		d.readProbe(b, c)
	}
	if b.has("ca") && c.Kind != "https" {
		d.fail(b.nameAt("ca"), "Key without effect", "ca belongs to https checks.")
	} else if b.has("ca") {
		c.CA = d.readCA(b.body, "ca")
	}
	if b.has(c.Kind) {
		d.checkFits(b, c, p)
	}
	return c
}

// readCheckKind reads which of the three it is.
func (d *decoder) readCheckKind(b *block, c *Check) {
	var given []string
	for _, key := range []string{"http", "https", "tcp"} {
		if b.has(key) {
			given = append(given, key)
		}
	}
	switch {
	case len(given) == 0:
		d.fail(b.labelAt, "Missing kind of check", "Write one of http = \"/up\", https = \"/up\" and tcp = true.")
		c.Kind = "http"
		return
	case len(given) > 1:
		d.fail(b.nameAt(given[1]), "Two kinds of check", "%s is already given. A check is one of http, https and tcp.", given[0])
	}
	c.Kind = given[0]
	if c.Kind == "tcp" {
		if v := b.value("tcp"); v.kind == boolean && !v.truth {
			d.fail(v.at, "Missing kind of check", "tcp = false says nothing. Leave the check block out to have no check.")
		} else {
			b.flag("tcp", true)
		}
		return
	}
	v := b.value(c.Kind)
	c.Path = b.str(c.Kind, "")
	if v.kind == text && !v.secret && (!strings.HasPrefix(c.Path, "/") || !isPrintable(c.Path) || strings.ContainsAny(c.Path, " #")) {
		d.fail(v.at, "Not a path", "%s: the path of a check begins with / and has no spaces.", v.show())
	}
}

// readProbe reads what only http and https checks have.
func (d *decoder) readProbe(b *block, c *Check) {
	c.Body = b.str("body", "")
	if c.Host = strings.ToLower(b.str("host", "")); b.has("host") && b.value("host").kind == text {
		if _, _, problem := splitAddress(c.Host); problem != "" && !b.value("host").secret {
			d.fail(b.where("host"), "Not a host name", "%s: %s.", b.value("host").show(), problem)
		}
	}
	c.StatusFrom = []StatusRange{{200, 399}}
	if !b.has("status") {
		return
	}
	c.StatusFrom = nil
	items := b.list("status")
	if b.value("status").kind == list && len(items) == 0 {
		d.fail(b.where("status"), "Empty list", "Without a status code every probe would fail. Leave status out to have 200-399.")
	}
	for _, v := range items {
		if r, ok := d.readStatus(b.body, v); ok {
			c.StatusFrom = append(c.StatusFrom, r)
		}
	}
}

func (d *decoder) readStatus(b *body, v value) (StatusRange, bool) {
	var r StatusRange
	if v.kind == number {
		r.From, _ = v.whole()
		r.To = r.From
	} else {
		if !b.want("status", &v, text, `a status code such as 200 or a range such as "200-299"`) {
			return r, false
		}
		from, to, ranged := strings.Cut(v.text, "-")
		r.From, _ = strconv.Atoi(from)
		if r.To = r.From; ranged {
			r.To, _ = strconv.Atoi(to)
		}
	}
	if r.From < 100 || r.To > 599 || r.From > r.To {
		d.fail(v.at, "Not a status code", "%s: write a code from 100 to 599, or a range such as \"200-299\".", v.show())
		return r, false
	}
	return r, true
}

// readCA reads a file with certificates to trust. It is kept by value, and so part of the hash.
func (d *decoder) readCA(b *body, key string) []byte {
	if !b.has(key) {
		return nil
	}
	v := b.value(key)
	name := b.str(key, "")
	if name == "" || b.scope.elsewhere {
		if v.kind == text && !v.secret && name == "" {
			d.fail(v.at, "Empty path", "%s needs the path of a file.", key)
		}
		return nil
	}
	if strings.Contains(name, "-----BEGIN") {
		d.fail(v.at, "File not readable", "%s is the path of a file with certificates, not their text.", key)
		return nil
	}
	data, err := d.readFile(name, maxIncluded)
	if err != nil {
		d.fail(v.at, "File not readable", "%s. A path is relative to the file that names it.", err)
		return nil
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		d.fail(v.at, "No certificate in the file", "%s has no certificate in PEM form (-----BEGIN CERTIFICATE-----).", name)
		return nil
	}
	d.include("file", name, data)
	return data
}
