package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// toJSON writes a file in HCL's syntax as its JSON twin: blocks with names become objects under their kind.
func toJSON(t *testing.T, src []byte) []byte {
	t.Helper()
	f, diags := hclsyntax.ParseConfig(src, "", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(twinBody(t, f.Body.(*hclsyntax.Body))), "", "  "); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func twinBody(t *testing.T, b *hclsyntax.Body) string {
	var props []string
	attrs := make([]*hclsyntax.Attribute, 0, len(b.Attributes))
	for _, a := range b.Attributes {
		attrs = append(attrs, a)
	}
	slices.SortFunc(attrs, func(a, b *hclsyntax.Attribute) int { return cmp.Compare(a.SrcRange.Start.Byte, b.SrcRange.Start.Byte) })
	for _, a := range attrs {
		props = append(props, quote(a.Name)+":"+twinValue(t, a.Expr))
	}
	var kinds []string
	byKind := map[string][]string{}
	for _, c := range b.Blocks {
		if byKind[c.Type] == nil {
			kinds = append(kinds, c.Type)
		}
		s := twinBody(t, c.Body)
		if len(c.Labels) > 0 {
			s = "{" + quote(c.Labels[0]) + ":" + s + "}"
		}
		byKind[c.Type] = append(byKind[c.Type], s)
	}
	for _, k := range kinds {
		props = append(props, quote(k)+":["+strings.Join(byKind[k], ",")+"]")
	}
	return "{" + strings.Join(props, ",") + "}"
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func twinValue(t *testing.T, e hclsyntax.Expression) string {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		switch e.Val.Type() {
		case cty.Number:
			return e.Val.AsBigFloat().Text('g', -1)
		case cty.Bool:
			if e.Val.True() {
				return "true"
			}
			return "false"
		}
		return quote(e.Val.AsString())
	case *hclsyntax.TemplateExpr:
		v, diags := e.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return quote(strings.NewReplacer("${", "$${", "%{", "%%{").Replace(v.AsString()))
	case *hclsyntax.TupleConsExpr:
		var items []string
		for _, item := range e.Exprs {
			items = append(items, twinValue(t, item))
		}
		return "[" + strings.Join(items, ",") + "]"
	case *hclsyntax.ObjectConsExpr:
		var props []string
		for _, item := range e.Items {
			key, diags := item.KeyExpr.Value(nil)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			props = append(props, quote(key.AsString())+":"+twinValue(t, item.ValueExpr))
		}
		return "{" + strings.Join(props, ",") + "}"
	case *hclsyntax.ScopeTraversalExpr:
		return quote("${" + e.Traversal.RootName() + "." + e.Traversal[1].(hcl.TraverseAttr).Name + "}")
	case *hclsyntax.FunctionCallExpr:
		v, diags := e.Args[0].Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return quote("${" + e.Name + "(" + quote(v.AsString()) + ")}")
	}
	t.Fatalf("no JSON for %T", e)
	return ""
}
