package config

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestSchema keeps the published JSON Schema of the JSON twin, which editors complete from, equal to the language.
func TestSchema(t *testing.T) {
	const file = "../docs/skein.schema.json"
	lang := map[string]Block{}
	for _, b := range Language() {
		lang[b.Path] = b
	}
	root := schemaOf(t, lang, "")
	defs := schema{}
	for path := range lang {
		if path != "" {
			defs[path] = schemaOf(t, lang, path)
		}
	}
	root["$defs"] = defs
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "skein.json"
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s differs from the language (run with -update): %v", file, err)
	}
}

type schema map[string]any

func schemaOf(t *testing.T, lang map[string]Block, path string) schema {
	b := lang[path]
	props := schema{"//": schema{"description": "A comment."}}
	for _, k := range b.Keys {
		s := schemaType(t, k.Type)
		s["description"] = strings.ReplaceAll(k.Text, "`", "")
		props[k.Name] = s
	}
	for _, kind := range b.Blocks {
		inner := schema{"$ref": "#/$defs/" + child(path, kind)}
		if lang[child(path, kind)].Label != "" {
			inner = schema{"type": "object", "additionalProperties": oneOrMore(inner)}
		}
		props[kind] = oneOrMore(inner)
	}
	return schema{"type": "object", "properties": props, "additionalProperties": false}
}

func oneOrMore(s schema) schema {
	return schema{"anyOf": []schema{s, {"type": "array", "items": s}}}
}

// schemaType is the schema of a type of the reference. Every value may be a call of env, which is a text.
func schemaType(t *testing.T, kind string) schema {
	text := schema{"type": "string"}
	list := schema{"type": []string{"string", "array"}, "items": schema{"type": []string{"string", "number"}}}
	switch kind {
	case "text", "path", "time":
		return text
	case "reference":
		return schema{"type": "string", "pattern": `^\$\{[a-z]+\.[A-Za-z][A-Za-z0-9_-]*\}$`}
	case "number", "size", "share":
		return schema{"type": []string{"number", "string"}}
	case "bool":
		return schema{"type": []string{"boolean", "string"}}
	case "text or list", "text, reference or list", "list of servers", "list of references":
		return list
	case "text or object of texts":
		return schema{"type": []string{"string", "object"}, "additionalProperties": text}
	case "object of addresses", "object of texts", "object of paths":
		return schema{"type": "object", "additionalProperties": text}
	case "object of numbers":
		return schema{"type": "object", "additionalProperties": schema{"type": []string{"number", "string"}}}
	}
	t.Fatalf("no schema for type %q", kind)
	return nil
}
