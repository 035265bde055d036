package config

import (
	"github.com/hashicorp/hcl/v2"
)

// The JSON twin: a block with a name is an object under its kind, {"http": {"site": {...}}}, one without a name is the
// object itself, {"check": {...}}. A list of either stands for several. A "//" property is a comment.

// fromJSON makes the tree of a JSON object that stands for a body.
func (d *decoder) fromJSON(props []hcl.KeyValuePair, path string, at hcl.Range, s *scope) *body {
	b := d.newBody(path, at, s)
	for _, p := range props {
		name, ok := jsonName(p.Key)
		if !ok || name == "//" {
			continue
		}
		nameAt := p.Key.Range()
		lang := d.lang[path]
		if lang.key(name) != nil {
			if first := b.attrs[name]; first != nil {
				d.fail(nameAt, "Key written twice", "%s was already set on line %d.", name, first.at.Start.Line)
				continue
			}
			b.attrs[name] = &attr{name: name, at: nameAt, expr: p.Value}
			continue
		}
		if !d.knownBlock(path, name, nameAt) {
			continue
		}
		inner := s
		d.jsonBlocks(b, name, nameAt, p.Value, inner)
	}
	sortBlocks(b)
	return b
}

// jsonBlocks adds the block or blocks that one property stands for.
func (d *decoder) jsonBlocks(b *body, kind string, kindAt hcl.Range, v hcl.Expression, s *scope) {
	labelled := d.lang[child(b.path, kind)].Label != ""
	for _, item := range jsonItems(v) {
		props, ok := jsonProps(item)
		if !ok {
			d.fail(item.Range(), "Object expected", "%s is a block: in JSON it is an object%s.", kind,
				map[bool]string{true: " of named objects", false: ""}[labelled])
			continue
		}
		if !labelled {
			d.jsonBlock(b, kind, "", kindAt, item, props, s)
			continue
		}
		for _, p := range props {
			label, ok := jsonName(p.Key)
			if !ok || label == "//" {
				continue
			}
			for _, one := range jsonItems(p.Value) {
				inner, ok := jsonProps(one)
				if !ok {
					d.fail(one.Range(), "Object expected", "%s %q is a block: in JSON it is an object.", kind, label)
					continue
				}
				d.jsonBlock(b, kind, label, p.Key.Range(), one, inner, s)
			}
		}
	}
}

func (d *decoder) jsonBlock(b *body, kind, label string, at hcl.Range, v hcl.Expression, props []hcl.KeyValuePair, s *scope) {
	if b.path == "" {
		s = d.newScope()
	}
	whole := hcl.RangeBetween(at, v.Range())
	n := &block{kind: kind, label: label, labelAt: at, whole: whole}
	n.body = d.fromJSON(props, child(b.path, kind), at, s)
	b.blocks = append(b.blocks, n)
}

// jsonItems returns the elements of an array, or the value itself.
func jsonItems(v hcl.Expression) []hcl.Expression {
	if l, ok := v.(interface{ ExprList() []hcl.Expression }); ok {
		if items := l.ExprList(); items != nil {
			return items
		}
	}
	return []hcl.Expression{v}
}

// jsonProps returns the properties of an object.
func jsonProps(v hcl.Expression) ([]hcl.KeyValuePair, bool) {
	if m, ok := v.(interface{ ExprMap() []hcl.KeyValuePair }); ok {
		if props := m.ExprMap(); props != nil {
			return props, true
		}
	}
	return nil, false
}

func jsonName(key hcl.Expression) (string, bool) {
	v, diags := key.Value(nil)
	if diags.HasErrors() || !isText(v) {
		return "", false
	}
	return v.AsString(), true
}
