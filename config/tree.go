package config

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A file in either syntax becomes one tree of bodies, so that everything after this file is the same for HCL and JSON.
// Names are checked against the language while the tree is made: what is in the tree has a meaning.

// body is the content of a block, or of the file.
type body struct {
	d      *decoder
	path   string // in the language: "", "pool", "pool.check"
	attrs  map[string]*attr
	blocks []*block
	at     hcl.Range // where to say that something is missing
	scope  *scope
}

// attr is `name = value`.
type attr struct {
	name string
	at   hcl.Range // of the name
	expr hcl.Expression
	val  *value // once it was evaluated
}

// block is a named or unnamed block.
type block struct {
	*body
	kind    string
	label   string
	labelAt hcl.Range // of the label, or of the kind without one
	whole   hcl.Range
}

// scope says whether env, file and secret are judged. All bodies inside one block of the top level share one.
type scope struct{ elsewhere bool }

func (d *decoder) newScope() *scope { return &scope{elsewhere: d.o.Elsewhere} }

// title is how a block is named to people: `pool "web"`.
func (b *block) title() string {
	if b.label == "" {
		return b.kind
	}
	return fmt.Sprintf("%s %q", b.kind, b.label)
}

// pos is the block's place, for errors of later stages.
func (b *block) pos() Pos { return Pos{File: b.d.name, Line: b.labelAt.Start.Line} }

// all returns the blocks of one kind.
func (b *body) all(kind string) []*block {
	var out []*block
	for _, c := range b.blocks {
		if c.kind == kind {
			out = append(out, c)
		}
	}
	return out
}

// one returns the only block of a kind, or nil without one.
func (b *body) one(kind string) *block {
	all := b.all(kind)
	if len(all) == 0 {
		return nil
	}
	for _, c := range all[1:] {
		b.d.fail(c.labelAt, "Block written twice", "There is already %s block here, on line %d. Put all keys into one.",
			article(kind), all[0].labelAt.Start.Line)
	}
	return all[0]
}

// newBody makes an empty body; the caller fills it.
func (d *decoder) newBody(path string, at hcl.Range, s *scope) *body {
	return &body{d: d, path: path, attrs: map[string]*attr{}, at: at, scope: s}
}

func child(path, kind string) string {
	if path == "" {
		return kind
	}
	return path + "." + kind
}

// fromHCL makes the tree of a file in HCL's own syntax.
func (d *decoder) fromHCL(src *hclsyntax.Body, path string, at hcl.Range, s *scope) *body {
	b := d.newBody(path, at, s)
	for _, a := range src.Attributes {
		if d.knownKey(path, a.Name, a.NameRange) {
			b.attrs[a.Name] = &attr{name: a.Name, at: a.NameRange, expr: a.Expr}
		}
	}
	for _, c := range src.Blocks {
		if !d.knownBlock(path, c.Type, c.TypeRange) {
			continue
		}
		lang := d.lang[child(path, c.Type)]
		n := &block{kind: c.Type, labelAt: c.TypeRange, whole: c.Range()}
		switch {
		case lang.Label != "" && len(c.Labels) == 0:
			d.fail(c.TypeRange, "Missing name", "%s block needs a %s: write %s \"...\" {.", capital(article(c.Type)), lang.Label, c.Type)
			continue
		case lang.Label == "" && len(c.Labels) > 0:
			d.fail(c.LabelRanges[0], "Name not expected", "%s block has no name: write %s {.", capital(article(c.Type)), c.Type)
			continue
		case len(c.Labels) > 1:
			d.fail(c.LabelRanges[1], "Name not expected", "%s block has one %s only.", capital(article(c.Type)), lang.Label)
			continue
		case len(c.Labels) == 1:
			n.label, n.labelAt = c.Labels[0], c.LabelRanges[0]
		}
		inner := s
		if path == "" {
			inner = d.newScope()
		}
		n.body = d.fromHCL(c.Body, child(path, c.Type), n.labelAt, inner)
		b.blocks = append(b.blocks, n)
	}
	return b
}

// inside returns the language of a kind of block inside of another, or nil. A JSON property may have any name.
func (d *decoder) inside(path, kind string) *Block {
	if kind == "" || strings.Contains(kind, ".") {
		return nil
	}
	return d.lang[child(path, kind)]
}

// knownKey checks the name of an attribute.
func (d *decoder) knownKey(path, name string, at hcl.Range) bool {
	lang := d.lang[path]
	if lang.key(name) != nil {
		return true
	}
	if c := d.inside(path, name); c != nil {
		label := ""
		if c.Label != "" {
			label = ` "..."`
		}
		d.fail(at, "Block needs no equals sign", "%s is a block: write %s%s {, without an equals sign.", name, name, label)
		return false
	}
	d.unknown(path, name, at)
	return false
}

// knownBlock checks the kind of a block.
func (d *decoder) knownBlock(path, kind string, at hcl.Range) bool {
	if d.inside(path, kind) != nil {
		return true
	}
	if d.lang[path].key(kind) != nil {
		d.fail(at, "Value needs an equals sign", "%s is not a block but takes a value: write %s = ...", kind, kind)
		return false
	}
	d.unknown(path, kind, at)
	return false
}

func (d *decoder) unknown(path, name string, at hcl.Range) {
	lang := d.lang[path]
	var names []string
	for _, k := range lang.Keys {
		names = append(names, k.Name)
	}
	names = append(names, lang.Blocks...)
	where := "at the top level of a file"
	if path != "" {
		where = "in " + article(path[strings.LastIndexByte(path, '.')+1:]) + " block"
	}
	d.fail(at, "Unknown name", "There is no %q %s.%s", name, where, didYouMean(name, names))
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) || noun == "http" {
		return "an " + noun
	}
	return "a " + noun
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// contexts names the block at a byte offset, for problems.
func contexts(root *body) func(offset int) string {
	var find func(b *body, offset int) string
	find = func(b *body, offset int) string {
		// Blocks stand in the order of the file, so the last one that begins before the offset is the one.
		i := sort.Search(len(b.blocks), func(i int) bool { return b.blocks[i].whole.Start.Byte > offset }) - 1
		if i < 0 || offset >= b.blocks[i].whole.End.Byte {
			return ""
		}
		name := b.blocks[i].title()
		if inner := find(b.blocks[i].body, offset); inner != "" {
			return name + ", " + inner
		}
		return name
	}
	return func(offset int) string { return find(root, offset) }
}

// sortBlocks puts blocks in the order of the file (JSON groups them by kind).
func sortBlocks(b *body) {
	slices.SortStableFunc(b.blocks, func(a, c *block) int {
		return cmp.Compare(a.whole.Start.Byte, c.whole.Start.Byte)
	})
}
