package config

import (
	"fmt"
	"slices"
	"strings"
)

// HeaderEdits are carried out in the order remove, set, add. Values are literal.
type HeaderEdits struct {
	Set    []HeaderValue
	Add    []HeaderValue
	Remove []string
}

// HeaderValue is a field to set or add.
type HeaderValue struct {
	Name, Value string
	Secret      bool // Value came from secret("..."): it is never shown
}

// String hides a secret, so that no dump of a Config has it.
func (h HeaderValue) String() string {
	if h.Secret {
		return h.Name + ": (secret)"
	}
	return h.Name + ": " + h.Value
}

// Format hides a secret from every verb of package fmt.
func (h HeaderValue) Format(f fmt.State, _ rune) { fmt.Fprint(f, h.String()) }

// MarshalText hides a secret from encoders.
func (h HeaderValue) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

func headersBlock(path, of string) Block {
	return Block{Path: path, Keys: []Key{
		{"set", "object of texts", "{}", "Fields that " + of + " shall have, in place of what it has under these names."},
		{"add", "object of texts", "{}", "Fields that " + of + " shall have as well."},
		{"remove", "text or list", "[]", "Names of fields that " + of + " shall not have."},
	}}
}

// readHeaders reads the edits of a request or an answer.
func (d *decoder) readHeaders(b *block, request bool) HeaderEdits {
	var h HeaderEdits
	if b == nil {
		return h
	}
	set := map[string]bool{}
	for _, key := range []string{"set", "add"} {
		seen := map[string]bool{}
		for _, e := range b.object(key, `an object such as { X-Site = "shop" }`) {
			name := strings.ToLower(e.key)
			if problem := badField(name, key, request); problem != "" {
				d.fail(e.at, "Field not allowed", "%q: %s.", shorten(e.key), problem)
				continue
			}
			if seen[name] {
				d.fail(e.at, "Listed twice", "%q is already in the list; the case of letters does not matter.", e.key)
				continue
			}
			seen[name] = true
			v, ok := d.fieldValue(b.body, e)
			switch {
			case !ok:
			case key == "set":
				set[name] = true
				h.Set = append(h.Set, v)
			default:
				h.Add = append(h.Add, v)
			}
		}
	}
	for _, v := range b.texts("remove") {
		name := strings.ToLower(v.text)
		if problem := badField(name, "remove", request); problem != "" {
			d.fail(v.at, "Field not allowed", "%s: %s.", v.show(), problem)
			continue
		}
		if set[name] {
			d.fail(v.at, "Field set and removed", "%s is set as well, which replaces it already. Leave it out here.", v.show())
			continue
		}
		if slices.ContainsFunc(h.Remove, func(r string) bool { return strings.EqualFold(r, v.text) }) {
			d.fail(v.at, "Listed twice", "%s is already in the list; the case of letters does not matter.", v.show())
			continue
		}
		h.Remove = append(h.Remove, v.text)
	}
	return h
}

// fieldValue reads the value of a field, where a secret may stand.
func (d *decoder) fieldValue(b *body, e entry) (HeaderValue, bool) {
	v := e.value
	if secret := v.secret; secret {
		v.secret = false
		if v.kind == unjudged {
			return HeaderValue{}, false
		}
		if problem := badFieldValue(v.text); problem != "" {
			d.fail(v.at, "Not a field value", "The secret for %s cannot be sent: %s.", e.key, problem)
			return HeaderValue{}, false
		}
		return HeaderValue{Name: e.key, Value: v.text, Secret: true}, true
	}
	if !b.want(e.key, &v, text, "a text in quotes") {
		return HeaderValue{}, false
	}
	if problem := badFieldValue(v.text); problem != "" {
		d.fail(v.at, "Not a field value", "The value of %s cannot be sent: %s.", e.key, problem)
		return HeaderValue{}, false
	}
	return HeaderValue{Name: e.key, Value: v.text}, true
}

// badField says why a field (in lower case) cannot be edited. Those that frame a message or belong to one connection
// (RFC 9110, section 7.6.1) are the proxy's own: editing them is how requests are smuggled.
func badField(name, key string, request bool) string {
	if !isToken(name) {
		return "a field's name has letters, digits and !#$%&'*+-.^_`|~ only"
	}
	switch name {
	case "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive", "proxy-connection":
		return "this field frames the message or belongs to one connection, so only Skein writes it"
	case "host":
		if !request {
			return "an answer has no Host"
		}
		if key != "set" {
			return "a request has exactly one Host; set it to send another"
		}
	}
	return ""
}

// badFieldValue is RFC 9110, section 5.5, without the bytes that other programs are known to split lines at.
func badFieldValue(s string) string {
	for _, c := range []byte(s) {
		switch {
		case c == '\r' || c == '\n':
			return "it has a line break"
		case c == 0:
			return "it has a zero byte"
		case c < 0x20 && c != '\t' || c == 0x7f:
			return "it has a control character"
		}
	}
	if s != strings.Trim(s, " \t") {
		return "it begins or ends with a space"
	}
	return ""
}

// then returns the edits that do what h and then next would do.
func (h HeaderEdits) then(next HeaderEdits) HeaderEdits {
	again := func(name string) bool {
		return slices.ContainsFunc(next.Remove, func(r string) bool { return strings.EqualFold(r, name) }) ||
			slices.ContainsFunc(next.Set, func(s HeaderValue) bool { return strings.EqualFold(s.Name, name) })
	}
	var out HeaderEdits
	keep := func(from []HeaderValue) (kept []HeaderValue) {
		for _, f := range from {
			if !again(f.Name) {
				kept = append(kept, f)
			}
		}
		return kept
	}
	out.Set = append(keep(h.Set), next.Set...)
	out.Add = append(keep(h.Add), next.Add...)
	for _, r := range h.Remove {
		if !again(r) {
			out.Remove = append(out.Remove, r)
		}
	}
	out.Remove = append(out.Remove, next.Remove...)
	return out
}
