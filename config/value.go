package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// kind is what a value is.
type kind int

const (
	bad      kind = iota // wrong, and already reported
	unjudged             // env, file or secret in a block that is placed elsewhere
	text
	number
	boolean
	list
	object
	ref
)

func (k kind) String() string {
	switch k {
	case text:
		return "a text"
	case number:
		return "a number"
	case boolean:
		return "true or false"
	case list:
		return "a list"
	case object:
		return "an object"
	case ref:
		return "a reference"
	}
	return "a value"
}

// value is a literal or a reference. The language has nothing else.
type value struct {
	kind    kind
	text    string
	number  float64
	truth   bool
	items   []value
	entries []entry
	ref     reference
	secret  bool // text must never be shown
	loose   bool // text came from env or file, so it may stand for a number or for true or false
	at      hcl.Range
}

// entry is one key of an object.
type entry struct {
	key string
	at  hcl.Range
	value
}

// reference is server.web1.
type reference struct{ root, name string }

func (r reference) String() string { return r.root + "." + r.name }

// show is the value as an error may print it.
func (v value) show() string {
	switch {
	case v.secret:
		return "(a secret)"
	case v.kind == text:
		return fmt.Sprintf("%q", shorten(v.text))
	case v.kind == number:
		return fmt.Sprintf("%v", v.number)
	case v.kind == boolean:
		return fmt.Sprintf("%v", v.truth)
	case v.kind == ref:
		return v.ref.String()
	}
	return v.kind.String()
}

// become turns a text into the number, or the true or false, that it spells.
func (v *value) become(k kind) bool {
	switch {
	case k == number:
		f, err := strconv.ParseFloat(v.text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
		v.kind, v.number = number, f
	case k == boolean && (v.text == "true" || v.text == "false"):
		v.kind, v.truth = boolean, v.text == "true"
	default:
		return false
	}
	return true
}

// shorten keeps an error readable when the value is not what anybody meant.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// evaluator turns expressions into values.
type evaluator struct {
	d         *decoder
	elsewhere bool
	at        *hcl.Range // place of everything, for what was parsed out of a JSON string
}

func (b *body) eval(e hcl.Expression) value {
	return evaluator{d: b.d, elsewhere: b.scope.elsewhere}.eval(e)
}

func (ev evaluator) place(rng hcl.Range) hcl.Range {
	if ev.at != nil {
		return *ev.at
	}
	return rng
}

const (
	noExpressions = "Expressions are not supported"
	staticDetail  = "The language is static: a value is a literal, a list, an object, a reference such as server.web1, or one of env(\"NAME\"), file(\"path\") and secret(\"name\")."
)

func (ev evaluator) eval(e hcl.Expression) value {
	at := ev.place(e.Range())
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return ev.literal(e.Val, at)
	case *hclsyntax.TemplateExpr:
		return ev.template(e, at)
	case *hclsyntax.TemplateWrapExpr:
		return ev.wrapped(e, at)
	case *hclsyntax.ScopeTraversalExpr:
		return ev.reference(e.Traversal, at)
	case *hclsyntax.FunctionCallExpr:
		return ev.call(e, at)
	case *hclsyntax.TupleConsExpr:
		v := value{kind: list, at: at}
		for _, item := range e.Exprs {
			v.items = append(v.items, ev.eval(item))
		}
		return v
	case *hclsyntax.ObjectConsExpr:
		return ev.object(e, at)
	case *hclsyntax.UnaryOpExpr:
		if e.Op == hclsyntax.OpNegate {
			if v, ok := e.Val.(*hclsyntax.LiteralValueExpr); ok && isNumber(v.Val) {
				n := ev.literal(v.Val, at)
				n.number = -n.number
				return n
			}
		}
	case hclsyntax.Expression:
		// Everything else of HCL's: operators, conditionals, loops, splats, indexes.
	default:
		return ev.json(e, at)
	}
	ev.d.fail(at, noExpressions, "%s", staticDetail)
	return value{at: at}
}

func textValue(s string) cty.Value { return cty.StringVal(s) }

func isText(v cty.Value) bool   { return !v.IsNull() && v.IsKnown() && v.Type() == cty.String }
func isNumber(v cty.Value) bool { return !v.IsNull() && v.IsKnown() && v.Type() == cty.Number }

func (ev evaluator) literal(v cty.Value, at hcl.Range) value {
	switch {
	case v.IsNull():
		ev.d.fail(at, "Null is not a value", "Leave the key out to have its default.")
	case !v.IsKnown():
		ev.d.fail(at, noExpressions, "%s", staticDetail)
	case v.Type() == cty.String:
		return value{kind: text, text: v.AsString(), at: at}
	case v.Type() == cty.Number:
		f, _ := v.AsBigFloat().Float64()
		return value{kind: number, number: f, at: at}
	case v.Type() == cty.Bool:
		return value{kind: boolean, truth: v.True(), at: at}
	}
	return value{at: at}
}

// template is a quoted string or heredoc. It may have several parts, for escapes; all must be literal.
func (ev evaluator) template(e *hclsyntax.TemplateExpr, at hcl.Range) value {
	var b strings.Builder
	for _, part := range e.Parts {
		lit, ok := part.(*hclsyntax.LiteralValueExpr)
		if !ok || !isText(lit.Val) {
			ev.d.fail(at, noExpressions, "A text cannot be put together from parts. %s Write $${ for a literal ${.", staticDetail)
			return value{at: at}
		}
		b.WriteString(lit.Val.AsString())
	}
	return value{kind: text, text: b.String(), at: at}
}

// wrapped is "${...}" with nothing around it: how JSON writes a reference or a call.
func (ev evaluator) wrapped(e *hclsyntax.TemplateWrapExpr, at hcl.Range) value {
	switch inner := e.Wrapped.(type) {
	case *hclsyntax.FunctionCallExpr:
		return ev.call(inner, at)
	case *hclsyntax.ScopeTraversalExpr:
		v := ev.reference(inner.Traversal, at)
		if v.kind == ref && ev.at == nil {
			ev.d.fail(at, "Reference in quotes", "Write %s without quotes.", v.ref)
			return value{at: at}
		}
		return v
	}
	ev.d.fail(at, noExpressions, "%s Write $${ for a literal ${.", staticDetail)
	return value{at: at}
}

func (ev evaluator) reference(t hcl.Traversal, at hcl.Range) value {
	root := t.RootName()
	if len(t) == 1 {
		ev.d.fail(at, "Text needs quotes", "A bare word is not a value: write %q, or a reference such as server.%s.", root, root)
		return value{at: at}
	}
	step, ok := t[1].(hcl.TraverseAttr)
	if len(t) > 2 || !ok {
		ev.d.fail(at, noExpressions, "A reference names a block and nothing inside of it: server.NAME, region.NAME, pool.NAME or tls.NAME.")
		return value{at: at}
	}
	roots := []string{"server", "region", "pool", "tls"}
	for _, r := range roots {
		if r == root {
			return value{kind: ref, ref: reference{root, step.Name}, at: at}
		}
	}
	ev.d.fail(at, "Unknown reference", "References begin with server, region, pool or tls, not %q.%s", root, didYouMean(root, roots))
	return value{at: at}
}

func (ev evaluator) object(e *hclsyntax.ObjectConsExpr, at hcl.Range) value {
	v := value{kind: object, at: at}
	for _, item := range e.Items {
		keyAt := ev.place(item.KeyExpr.Range())
		key := hcl.ExprAsKeyword(item.KeyExpr)
		if key == "" {
			inner := item.KeyExpr
			if k, ok := inner.(*hclsyntax.ObjectConsKeyExpr); ok {
				inner = k.Wrapped
			}
			switch lit := inner.(type) {
			case *hclsyntax.TemplateExpr:
				k := ev.template(lit, keyAt)
				if k.kind == bad {
					continue
				}
				key = k.text
			case *hclsyntax.LiteralValueExpr:
				k := ev.literal(lit.Val, keyAt)
				if k.kind == bad {
					continue
				}
				key = strings.Trim(k.show(), `"`)
			case *hclsyntax.ScopeTraversalExpr:
				ev.d.fail(keyAt, "Name expected", "The left side is a plain name or a text in quotes, not a reference.")
				continue
			default:
				ev.d.fail(keyAt, noExpressions, "The left side is a plain name or a text in quotes.")
				continue
			}
		}
		ev.add(&v, key, keyAt, item.ValueExpr)
	}
	return ev.unique(v)
}

func (ev evaluator) add(v *value, key string, at hcl.Range, e hcl.Expression) {
	v.entries = append(v.entries, entry{key: key, at: at, value: ev.eval(e)})
}

// unique refuses a key that stands twice: one of the two values would do nothing.
func (ev evaluator) unique(v value) value {
	seen := make(map[string]hcl.Range, len(v.entries))
	kept := v.entries[:0]
	for _, e := range v.entries {
		if first, ok := seen[e.key]; ok {
			ev.d.fail(e.at, "Key written twice", "%q was already set on line %d.", shorten(e.key), first.Start.Line)
			continue
		}
		seen[e.key] = e.at
		kept = append(kept, e)
	}
	v.entries = kept
	return v
}

// json is an expression of the JSON twin.
func (ev evaluator) json(e hcl.Expression, at hcl.Range) value {
	if l, ok := e.(interface{ ExprList() []hcl.Expression }); ok {
		if items := l.ExprList(); items != nil {
			v := value{kind: list, at: at}
			for _, item := range items {
				v.items = append(v.items, ev.eval(item))
			}
			return v
		}
	}
	if props, ok := jsonProps(e); ok {
		v := value{kind: object, at: at}
		for _, p := range props {
			key, ok := jsonName(p.Key)
			if !ok {
				continue
			}
			ev.add(&v, key, p.Key.Range(), p.Value)
		}
		return ev.unique(v)
	}
	lit, diags := e.Value(nil)
	if diags.HasErrors() {
		ev.d.addHCL(diags)
		return value{at: at}
	}
	if !isText(lit) || !strings.ContainsAny(lit.AsString(), "$%") || !strings.Contains(lit.AsString(), "{") {
		return ev.literal(lit, at)
	}
	// A text with ${ is the template that HCL would have, with its escapes.
	src := []byte(lit.AsString())
	if p := guardTemplate(src); p != "" {
		ev.d.fail(at, noExpressions, "%s", p)
		return value{at: at}
	}
	expr, diags := hclsyntax.ParseTemplate(src, ev.d.name, hcl.InitialPos)
	if diags.HasErrors() {
		ev.d.fail(at, diags[0].Summary, "%s", diags[0].Detail)
		return value{at: at}
	}
	ev.at = &at
	return ev.eval(expr)
}

// whole returns the number as an int, if it is one.
func (v value) whole() (int, bool) {
	if v.kind != number || v.number != math.Trunc(v.number) || math.Abs(v.number) > 1<<53 {
		return 0, false
	}
	return int(v.number), true
}
