package config

import (
	"strings"

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
	if strings.HasSuffix(name, ".json") {
		d.fail(hcl.Range{}, "Not an HCL file", "Only HCL has a layout of its own. Format JSON with a tool for JSON.")
		return nil, d.err()
	}
	if !d.guard() {
		return nil, d.err()
	}
	f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		d.addHCL(diags)
		d.block = d.brokenContexts(f)
		return nil, d.err()
	}
	return hclwrite.Format(src), nil
}
