package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// HCL's parsers call themselves for every bracket, operator and template, and Go ends a program whose stack grows past a
// gigabyte: a few megabytes of "[" would do. So tokens are counted before anything is parsed.

const (
	maxFile  = 4 << 20 // bytes of a configuration file
	maxDepth = 50      // of brackets and quotes; the deepest real file has 5
	maxUnary = 20      // operators in a row that call for another
	maxOther = 200     // conditionals and template directives; the language has none, but each has a clear error below this
)

// guard checks the source of a file in HCL's own syntax, and reports.
func (d *decoder) guard() bool {
	tokens, _ := hclsyntax.LexConfig(d.src, d.name, hcl.InitialPos)
	at, detail := guardTokens(tokens)
	if at != nil {
		d.fail(*at, "Nested too deep", "%s", detail)
	}
	return at == nil
}

// guardTemplate checks a string of the JSON twin. It returns what is wrong, or "".
func guardTemplate(src []byte) string {
	tokens, _ := hclsyntax.LexTemplate(src, "", hcl.InitialPos)
	_, detail := guardTokens(tokens)
	return detail
}

func guardTokens(tokens hclsyntax.Tokens) (*hcl.Range, string) {
	depth, unary, other := 0, 0, 0
	for i, t := range tokens {
		run := 0 // of unary operators, this one included
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOQuote,
			hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote,
			hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
			depth = max(0, depth-1)
		case hclsyntax.TokenMinus, hclsyntax.TokenBang:
			run = unary + 1
		case hclsyntax.TokenQuestion, hclsyntax.TokenTemplateControl:
			other++
		}
		unary = run
		if unary > maxUnary || other > maxOther {
			return &tokens[i].Range, "There are too many operators. " + staticDetail
		}
		if depth > maxDepth {
			return &tokens[i].Range, fmt.Sprintf("Brackets are nested more than %d deep.", maxDepth)
		}
	}
	return nil, ""
}

// guardJSON checks the source of the JSON twin.
func guardJSON(src []byte, file string) *hcl.Range {
	pos := hcl.InitialPos
	depth, quoted, escaped := 0, false, false
	for i, c := range src {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				pos.Byte = i
				return &hcl.Range{Filename: file, Start: pos, End: pos}
			}
		case c == ']' || c == '}':
			depth--
		}
		if c == '\n' {
			pos.Line, pos.Column = pos.Line+1, 0
			quoted = false // as no string of JSON goes over a line
		}
		if c < 0x80 || c >= 0xc0 {
			pos.Column++
		}
	}
	return nil
}
