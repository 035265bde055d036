package config

import "strings"

// Compress is how answers are compressed.
type Compress struct {
	Encodings []string // of "zstd", "br", "gzip", the best first
	Types     []string // media types, "text/*" among them, lower case
	MinSize   int64    // bytes of a body whose length is known
}

// compressTypes are what gains by it. Images, video, fonts in WOFF and archives are compressed already.
func compressTypes() []string {
	return []string{
		"text/*", "application/json", "application/ld+json", "application/problem+json", "application/manifest+json",
		"application/javascript", "application/xml", "application/xhtml+xml", "application/rss+xml", "application/atom+xml",
		"application/wasm", "image/svg+xml", "font/ttf", "font/otf",
	}
}

func compressBlock(path string) Block {
	keys := []Key{
		{"encodings", "text or list", "[\"zstd\", \"br\", \"gzip\"]", "Which encodings, the best first; a client gets the first that it takes."},
		{"types", "text or list", "[\"" + strings.Join(compressTypes(), "\", \"") + "\"]", "Media types of answers that are compressed; `text/*` is every kind of text."},
		{"min_size", "size", "\"1KiB\"", "Smallest body that is compressed, if its size is known."},
	}
	if path == "http.route.compress" {
		for i := range keys {
			keys[i].Default = ""
			keys[i].Text = strings.TrimSuffix(keys[i].Text, ".") + ". Without it the block's."
		}
		keys = append(keys, Key{"off", "bool", "false", "`true`: the answers of this route are not compressed, whatever the block says."})
	}
	return Block{Path: path, Keys: keys}
}

// readCompress reads the block of an http block or route; what it does not name is as in outer, which may be nil.
func (d *decoder) readCompress(b *block, outer *Compress) *Compress {
	if b == nil {
		return outer
	}
	if d.lang[b.path].key("off") != nil && b.flag("off", false) {
		for _, key := range []string{"encodings", "types", "min_size"} {
			if b.has(key) {
				d.fail(b.nameAt(key), "Key without effect", "off is true, so nothing is compressed and %s does nothing.", key)
			}
		}
		return nil
	}
	if outer == nil {
		outer = &Compress{Encodings: []string{"zstd", "br", "gzip"}, Types: compressTypes(), MinSize: 1 << 10}
	}
	c := *outer
	if b.has("encodings") {
		c.Encodings = d.words(b.body, "encodings", "zstd", "br", "gzip")
	}
	c.MinSize = b.size("min_size", c.MinSize, 0, 1<<30)
	if !b.has("types") {
		return &c
	}
	c.Types = nil
	if v := b.value("types"); v.kind == list && len(v.items) == 0 {
		d.fail(v.at, "Empty list", "Without a type nothing is compressed. Leave types out to have the usual ones, or the block to compress nothing.")
	}
	seen := map[string]bool{}
	for _, v := range b.texts("types") {
		t := strings.ToLower(v.text)
		kind, sub, ok := strings.Cut(t, "/")
		switch {
		case !ok || !isToken(kind) || strings.Contains(kind, "*") || !isToken(sub) || strings.Contains(sub, "*") && sub != "*":
			d.fail(v.at, "Not a media type", "%s: write a type such as \"application/json\", without parameters, or \"text/*\" for all that begin so.", v.show())
		case seen[t]:
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
		default:
			seen[t] = true
			c.Types = append(c.Types, t)
		}
	}
	return &c
}
