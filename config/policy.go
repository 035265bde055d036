package config

import (
	"strings"
)

// Policy is the chosen algorithm and its settings.
type Policy struct {
	Name    string  // one of the policy list's names
	Key     HashKey // what hash and maglev hash; ip_hash always hashes the client
	Bounded float64 // hash only: a member may have this times the average load, above 1; 0 is off
}

// HashKey says what of a request is hashed.
type HashKey struct {
	Kind string // client, uri, host, header, cookie, query
	Name string // of the header, cookie or query parameter
}

const defaultPolicy = "round_robin"

func (d *decoder) readPolicy(b *body) Policy {
	p := Policy{Name: b.str("policy", defaultPolicy), Key: HashKey{Kind: "client"}}
	if len(d.o.Policies) > 0 && b.has("policy") {
		p.Name = b.choice("policy", defaultPolicy, d.o.Policies...)
	}
	if b.has("key") {
		if p.Name != "hash" && p.Name != "maglev" {
			d.fail(b.nameAt("key"), "Key without effect", "Only the policies hash and maglev look at key, and this pool's policy is %s.", p.Name)
		}
		p.Key = d.readHashKey(b)
	}
	if b.has("bounded") {
		if p.Name != "hash" {
			d.fail(b.nameAt("bounded"), "Key without effect", "Only the policy hash looks at bounded, and this pool's policy is %s.", p.Name)
		}
		if v := b.value("bounded"); b.want("bounded", &v, number, "a number above 1, such as 1.25") {
			if !(v.number > 1 && v.number <= 100) {
				d.fail(v.at, "Value out of range", "bounded is a number above 1 and up to 100, such as 1.25, not %s.", v.show())
			}
			p.Bounded = v.number
		}
	}
	return p
}

func (d *decoder) readHashKey(b *body) HashKey {
	v := b.value("key")
	s := b.str("key", "client")
	kind, name, named := strings.Cut(s, ":")
	kinds := []string{"client", "uri", "host", "header", "cookie", "query"}
	switch kind {
	case "client", "uri", "host":
		if named {
			d.fail(v.at, "Unknown key", "%s takes no name: write %q.", kind, kind)
		}
	case "header", "cookie", "query":
		if name == "" || !isToken(name) && kind != "query" || !isPrintable(name) {
			d.fail(v.at, "Unknown key", "%s: write the name behind a colon, as in %q.", v.show(), kind+":name")
		}
	default:
		d.fail(v.at, "Unknown key", "%s is not one of \"client\", \"uri\", \"host\", \"header:NAME\", \"cookie:NAME\" and \"query:NAME\".%s", v.show(), didYouMean(kind, kinds))
	}
	return HashKey{Kind: kind, Name: name}
}

// isToken says whether s is a token of RFC 9110, section 5.6.2: the name of a field, method or cookie.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if !isLetter(c) && !isDigit(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// isPrintable says whether s is visible ASCII and spaces.
func isPrintable(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}
