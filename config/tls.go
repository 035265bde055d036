package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// TLS is a tls block: one certificate from files. Whoever reads it reads the files again when they change.
type TLS struct {
	Name string
	Pos  Pos
	Cert string // path: PEM, leaf first
	Key  string // path: PEM
}

func tlsBlocks() []Block {
	return []Block{{Path: "tls", Label: "name", Keys: []Key{
		{"cert", "path", "", "Needed. File with the certificate and those between it and the root, in PEM form, the certificate first."},
		{"key", "path", "", "Needed. File with its private key, in PEM form and not encrypted."},
	}}}
}

// certified is a tls block while the file is read.
type certified struct {
	*TLS
	at   hcl.Range
	used bool              // by any block
	here bool              // by a block that is placed on this node
	leaf *x509.Certificate // nil until its files were read, and if they are wrong
}

// nameTLS makes every tls block known, so that http blocks can refer to it.
func (d *decoder) nameTLS(blocks []*block) {
	for _, b := range blocks {
		if problem := badName(b.label); problem != "" {
			d.fail(b.labelAt, "Not a name", "%q cannot name a tls block: %s.", shorten(b.label), problem)
			continue
		}
		if first := d.certs[b.label]; first != nil {
			d.fail(b.labelAt, "Name already taken", "There is already a tls block %q on line %d.", b.label, first.Pos.Line)
			continue
		}
		d.certs[b.label] = &certified{TLS: &TLS{Name: b.label, Pos: b.pos()}, at: b.labelAt}
	}
}

// readTLS fills the tls blocks in. The files of one that no block of this node uses are not looked at, and it is left out.
func (d *decoder) readTLS(blocks []*block, c *Config) {
	for _, b := range blocks {
		t := d.certs[b.label]
		if t == nil || t.at != b.labelAt {
			t = &certified{TLS: &TLS{}, used: true} // reported above; what is inside is still checked
		}
		if !t.used {
			d.warn(b.labelAt, "Certificate not used", "No http block has tls = tls.%s.", b.label)
		}
		b.scope.elsewhere = !t.here || d.o.Elsewhere
		t.Cert, t.Key = b.filePath("cert", ""), b.filePath("key", "")
		for _, key := range []string{"cert", "key"} {
			if !b.has(key) {
				d.fail(b.labelAt, "Missing "+key, "%s needs both cert and key: cert = \"shop.pem\", key = \"shop.key\".", b.title())
			}
		}
		if cert, _ := d.readPair(b.body); cert != nil {
			p, _ := pem.Decode(cert) // the first is a certificate: readPair has used it
			t.leaf, _ = x509.ParseCertificate(p.Bytes)
		}
		if t.here {
			c.TLS = append(c.TLS, t.TLS)
		}
	}
}

// covered warns if no certificate of a block has one of its hosts. A CA's certificates have what they are asked for.
func (d *decoder) covered(p *placedHTTP) {
	if p.TLS == nil || p.TLS.ACME || p.TLS.SelfSigned {
		return
	}
	var leaves []*x509.Certificate
	for _, t := range p.TLS.Certificates {
		leaf := d.certs[t.Name].leaf
		if leaf == nil {
			return // what is wrong with it was reported
		}
		leaves = append(leaves, leaf)
	}
	for i, host := range p.Hosts {
		sample := strings.Replace(host, "*", "any", 1)
		if len(leaves) > 0 && !slices.ContainsFunc(leaves, func(c *x509.Certificate) bool { return c.VerifyHostname(sample) == nil }) {
			d.warn(p.hostAt[i].at, "No certificate for the host", "No certificate that tls names is one for %q. Clients will refuse what they get.", host)
		}
	}
}

// tlsRef resolves one reference of `tls`.
func (d *decoder) tlsRef(v value, here bool) *TLS {
	if v.ref.root != "tls" {
		d.fail(v.at, "Wrong reference", "tls takes tls blocks, not %s.", v.ref)
		return nil
	}
	t := d.certs[v.ref.name]
	if t == nil {
		names := func() []string { return slices.Sorted(maps.Keys(d.certs)) }
		d.fail(v.at, "No such tls block", "There is no tls block named %q.%s", v.ref.name, d.suggest(v.ref.name, names))
		return nil
	}
	t.used, t.here = true, t.here || here
	return t.TLS
}

// readPair reads the files that cert and key name, and checks that they are one certificate. It returns nil after a mistake,
// and for a block that is placed elsewhere.
func (d *decoder) readPair(b *body) (cert, key []byte) {
	var data [2][]byte
	for i, k := range []string{"cert", "key"} {
		v := b.value(k)
		if b.scope.elsewhere || v.kind != text || v.secret || v.text == "" {
			continue
		}
		if strings.Contains(v.text, "-----BEGIN") {
			d.fail(v.at, "File not readable", "%s is the path of a file, not its text.", k)
			continue
		}
		var err error
		if data[i], err = d.readFile(v.text, maxIncluded); err != nil {
			d.fail(v.at, "File not readable", "%s. A path is relative to the file that names it.", err)
			data[i] = nil
		}
	}
	if data[0] == nil || data[1] == nil {
		return nil, nil
	}
	if k, problem := badPair(data[0], data[1]); problem != "" {
		v := b.value(k)
		d.fail(v.at, "Not a certificate and its key", "%s: %s.", v.show(), problem)
		return nil, nil
	}
	d.doubtPair(b, data[0], data[1])
	return data[0], data[1]
}

// badPair says which of the two files is wrong, and how.
func badPair(cert, key []byte) (which, problem string) {
	if kinds := pemKinds(cert); !slices.Contains(kinds, "CERTIFICATE") {
		if len(kinds) > 0 {
			return "cert", "the file has a " + kinds[0] + ", not a certificate"
		}
		return "cert", "the file has no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
	}
	kinds := pemKinds(key)
	switch {
	case slices.Contains(kinds, "ENCRYPTED PRIVATE KEY") || bytes.Contains(key, []byte("Proc-Type: 4,ENCRYPTED")):
		return "key", "the key is encrypted, and nobody is there to type its password. Decrypt it with: openssl pkey -in FILE -out NEW"
	case !slices.ContainsFunc(kinds, func(k string) bool { return strings.HasSuffix(k, "PRIVATE KEY") }):
		return "key", "the file has no private key in PEM form (-----BEGIN PRIVATE KEY-----)"
	}
	_, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
		return "", ""
	case strings.Contains(err.Error(), "does not match"):
		return "key", "this is not the key of the first certificate in the file of cert"
	case strings.Contains(err.Error(), "private key"):
		return "key", strings.TrimPrefix(err.Error(), "tls: ")
	}
	return "cert", strings.TrimPrefix(err.Error(), "tls: ")
}

// pemKinds lists the kinds of the blocks of a PEM file: only the words after BEGIN, nothing of what is inside.
func pemKinds(data []byte) (kinds []string) {
	for {
		var p *pem.Block
		if p, data = pem.Decode(data); p == nil {
			return kinds
		}
		kinds = append(kinds, p.Type)
	}
}

// doubtPair warns of a certificate that is good, but not for anybody now, and of a key that everybody may read.
func (d *decoder) doubtPair(b *body, cert, key []byte) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return
	}
	v := b.value("cert")
	switch now := time.Now(); {
	case now.After(pair.Leaf.NotAfter):
		d.warn(v.at, "Certificate has expired", "%s was valid until %s. Clients will refuse it.", v.show(), pair.Leaf.NotAfter.UTC().Format(time.DateTime+" MST"))
	case now.Before(pair.Leaf.NotBefore):
		d.warn(v.at, "Certificate not valid yet", "%s is valid from %s. Clients will refuse it until then.", v.show(), pair.Leaf.NotBefore.UTC().Format(time.DateTime+" MST"))
	}
	if d.o.ReadFile != nil {
		return // the modes of the file system are not those of what was read
	}
	v = b.value("key")
	path := d.absolute(v.text)
	if st, err := os.Stat(path); err == nil && st.Mode().Perm()&0o004 != 0 {
		d.warn(v.at, "Key readable by everybody", "%s has mode %04o. Take the right from others: chmod o-rwx %s", path, st.Mode().Perm(), path)
	}
}
