package config

import "fmt"

// Secret is something that no dump of a Config shows: a key, in the bytes that the reader of the configuration needs.
type Secret []byte

const hidden = "(secret)"

// Format hides it from every verb of package fmt.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalText hides it from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Secrets is several of them.
type Secrets [][]byte

// Format hides them from every verb of package fmt.
func (s Secrets) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalText hides them from encoders.
func (s Secrets) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// key reads a value that nobody may know: secret("name"), or what env and file bring. A literal is refused, as the
// configuration is read by many and kept in places where a key must not be. It is "" if there is none to be had here.
func (b *body) key(name string, v value) string {
	switch {
	case v.kind == bad || v.kind == unjudged:
		return ""
	case v.kind != text:
		b.d.fail(v.at, "Wrong kind of value", "%s is secret(\"name\"), not %s.", name, v.show())
		return ""
	case !v.secret && !v.loose:
		b.d.failHidden(v.at, "Secret in the file", "%s is secret, and everybody who may read this file would know it. Put it into a file of its own in %s and write secret(\"name\").",
			name, b.d.secretPlaces())
		return ""
	}
	return v.text
}
