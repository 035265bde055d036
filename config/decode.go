package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// decoder holds what the reading of one file needs.
type decoder struct {
	report
	o        Options
	lang     map[string]*Block
	secrets  map[string]string
	included map[string][]byte // what came from outside, by kind and name, for the hash

	names   map[string]named // servers and regions: their names share one space
	servers map[string]*Server
	regions map[string][]*Server
	literal map[string]*Server // servers that were written as strings
	pools   map[string]*pooled
	certs   map[string]*certified
	acme    *ACME // wherever it is used; nil without the block
	sends   []sender
	ranked  map[*block][]vipNode       // nodes of vip blocks that were read
	sets    map[*block]map[string]bool // the nodes of a block; nil is every node
	members int
	// suggestions counts those looked for, see maxSuggestions.
	suggestions int
	files       map[string][]byte // error pages: many blocks name the same
}

// The methods below read one key of a block: they give its default if it is not there, and also after a mistake, which
// they report. So the code of a block reads as a list of its keys.

// has says whether a key is there, right or wrong.
func (b *body) has(key string) bool { return b.attrs[key] != nil }

// where is the place of a key's value, or of the block if the key is not there.
func (b *body) where(key string) hcl.Range {
	if a := b.attrs[key]; a != nil {
		return b.value(key).at
	}
	return b.at
}

// value returns a key's value, of kind bad without one.
func (b *body) value(key string) value {
	a := b.attrs[key]
	if a == nil {
		return value{at: b.at}
	}
	if a.val == nil {
		v := b.eval(a.expr)
		a.val = &v
	}
	return *a.val
}

// want reports a value of the wrong kind. It says whether the value can be used. What env and file bring is text, and
// becomes the number or the true or false that is wanted.
func (b *body) want(key string, v *value, k kind, form string) bool {
	if v.loose {
		v.become(k)
	}
	switch v.kind {
	case k:
		if k == text && v.secret {
			b.d.fail(v.at, "Secret not allowed here", "%s is shown in the status and in logs, so it cannot be a secret. Secrets may stand in the values of header fields and of params, and where a key is asked for.", key)
			return false
		}
		return true
	case bad, unjudged:
		return false
	}
	got := v.kind.String()
	if v.kind == text || v.kind == number || v.kind == ref {
		got = v.show()
	}
	hint := ""
	if t := (value{kind: text, text: v.text}); v.kind == text && !v.secret && t.become(k) {
		hint = " Leave out the quotes."
	}
	b.d.fail(v.at, "Wrong kind of value", "%s is %s, not %s.%s", key, form, got, hint)
	return false
}

// str reads a text.
func (b *body) str(key, def string) string {
	if v := b.value(key); b.has(key) && b.want(key, &v, text, "a text in quotes") {
		return v.text
	}
	return def
}

// choice reads one of a few words.
func (b *body) choice(key, def string, words ...string) string {
	v := b.value(key)
	if !b.has(key) || !b.want(key, &v, text, "a text in quotes") {
		return def
	}
	for _, w := range words {
		if w == v.text {
			return w
		}
	}
	b.d.fail(v.at, "Unknown "+key, "%s is not one of %s.%s", v.show(), quoted(words), didYouMean(v.text, words))
	return def
}

func quoted(words []string) string {
	var out []string
	for _, w := range words {
		out = append(out, fmt.Sprintf("%q", w))
	}
	return strings.Join(out, ", ")
}

// flag reads true or false.
func (b *body) flag(key string, def bool) bool {
	if v := b.value(key); b.has(key) && b.want(key, &v, boolean, "true or false without quotes") {
		return v.truth
	}
	return def
}

// count reads a whole number.
func (b *body) count(key string, def, low, high int) int {
	v := b.value(key)
	if !b.has(key) || !b.want(key, &v, number, "a number") {
		return def
	}
	n, ok := v.whole()
	if !ok || n < low || n > high {
		b.d.fail(v.at, "Value out of range", "%s is a whole number from %d to %d, not %s.", key, low, high, v.show())
		return def
	}
	return n
}

// time reads a duration.
func (b *body) time(key string, def, low, high time.Duration) time.Duration {
	v := b.value(key)
	if !b.has(key) {
		return def
	}
	if v.kind == number {
		b.d.fail(v.at, "Time without a unit", "%s is a time with its unit, in quotes: \"%vs\" or \"%vms\".", key, v.number, v.number)
		return def
	}
	if !b.want(key, &v, text, `a time such as "10s"`) {
		return def
	}
	t, err := parseDuration(v.text)
	if err != nil {
		b.d.fail(v.at, "Not a time", "%s is a time such as \"500ms\", \"2s\", \"1h30m\" or \"1d\": %s.", key, err)
		return def
	}
	if t < low || t > high {
		b.d.fail(v.at, "Value out of range", "%s is a time from %s to %s, not %s.", key, showDuration(low), showDuration(high), v.show())
		return def
	}
	return t
}

// share reads a part of the whole, as 0 to 1.
func (b *body) share(key string, def float64) float64 {
	v := b.value(key)
	if !b.has(key) {
		return def
	}
	if v.loose {
		v.become(number)
	}
	f := v.number
	if v.kind != number {
		if !b.want(key, &v, text, `a share such as "20%"`) {
			return def
		}
		var err error
		if f, err = parseShare(v.text); err != nil {
			b.d.fail(v.at, "Not a share", "%s: %s.", key, err)
			return def
		}
	}
	if !(f >= 0 && f <= 1) {
		b.d.fail(v.at, "Value out of range", "%s is a share from \"0%%\" to \"100%%\" (or a number from 0 to 1), not %s.", key, v.show())
		return def
	}
	return f
}

// size reads a number of bytes.
func (b *body) size(key string, def, low, high int64) int64 {
	v := b.value(key)
	if !b.has(key) {
		return def
	}
	if v.loose {
		v.become(number)
	}
	var n int64
	if v.kind == number {
		w, ok := v.whole()
		if !ok {
			b.d.fail(v.at, "Not a size", "%s is a whole number of bytes, or a text such as \"16KiB\", not %s.", key, v.show())
			return def
		}
		n = int64(w)
	} else {
		if !b.want(key, &v, text, `a size such as "16KiB"`) {
			return def
		}
		var err error
		if n, err = parseSize(v.text); err != nil {
			b.d.fail(v.at, "Not a size", "%s: %s.", key, err)
			return def
		}
	}
	if n < low || n > high {
		b.d.fail(v.at, "Value out of range", "%s is a size from %s to %s, not %s.", key, showSize(low), showSize(high), v.show())
		return def
	}
	return n
}

// list reads a list; one value alone is a list of one. Mistakes inside are the caller's to find.
func (b *body) list(key string) []value {
	v := b.value(key)
	switch {
	case !b.has(key), v.kind == bad, v.kind == unjudged:
		return nil
	case v.kind == list:
		return v.items
	}
	return []value{v}
}

// texts reads a list of texts.
func (b *body) texts(key string) []value {
	var out []value
	for _, v := range b.list(key) {
		if b.want(key, &v, text, "a text, or a list of texts") {
			out = append(out, v)
		}
	}
	return out
}

// words reads a list of a few known words, each at most once.
func (d *decoder) words(b *body, key string, words ...string) []string {
	var out []string
	if v := b.value(key); v.kind == list && len(v.items) == 0 {
		d.fail(v.at, "Empty list", "%s needs one of %s. Leave the key out to have its default.", key, quoted(words))
	}
	for _, v := range b.texts(key) {
		switch {
		case !slices.Contains(words, v.text):
			d.fail(v.at, "Unknown word", "%s takes %s, not %s.%s", key, quoted(words), v.show(), didYouMean(v.text, words))
		case slices.Contains(out, v.text):
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
		default:
			out = append(out, v.text)
		}
	}
	return out
}

// object reads the entries of an object.
func (b *body) object(key, form string) []entry {
	if v := b.value(key); b.has(key) && b.want(key, &v, object, form) {
		return v.entries
	}
	return nil
}
