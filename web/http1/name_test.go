package http1

import (
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for id := Host; int(id) < len(names); id++ {
		name := id.String()
		if name == "" {
			t.Fatalf("ID %d has no name", id)
		}
		for _, s := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got := Lookup([]byte(s)); got != id {
				t.Errorf("Lookup(%q) = %v, want %v", s, got, id)
			}
		}
		for i := range name {
			for _, c := range []byte{'_', 'x', 'z', 0, name[i] ^ 0x40, name[i] | 0x80} {
				s := name[:i] + string(rune(c)) + name[i+1:]
				if strings.EqualFold(s, name) {
					continue
				}
				if got := Lookup([]byte(s)); got == id {
					t.Errorf("Lookup(%q) = %v", s, got)
				}
			}
		}
		if got := Lookup([]byte(name + "s")); got != Other {
			t.Errorf("Lookup(%q) = %v", name+"s", got)
		}
	}
	if HTTP2Settings+1 != ID(len(names)) || Other.String() != "" || ID(200).String() != "" {
		t.Error("names and IDs do not agree")
	}
}
