package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns a file in the canonical layout: only white space changes. A file that does not parse is refused with its
// [*Diagnostics]: what is broken cannot be laid out.
func Format(name string, src []byte) ([]byte, error) {
	d := newDecoder(name, src, Options{})
	if len(src) > maxFile {
		d.parse()
		return nil, d.err()
	}
	if at, detail := guard(src, name); at != nil {
		d.fail(*at, noExpressions, "%s", detail)
		return nil, d.err()
	}
	f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		d.addHCL(diags)
		if root, ok := f.Body.(*hclsyntax.Body); ok {
			d.block = contexts(d.fromHCL(root, "", hcl.Range{}, &scope{}))
		}
		return nil, d.err()
	}
	return hclwrite.Format(src), nil
}
