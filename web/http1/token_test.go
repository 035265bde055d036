package http1

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a", "a"},
		{"a,b", "a|b"},
		{" a ,\tb\t", "a|b"},
		{",, a,,", "a"},
		{" , \t", ""},
		{"a b, c", "a b|c"},
	} {
		var got []string
		for e := range Tokens([]byte(c.in)) {
			got = append(got, string(e))
		}
		if got := strings.Join(got, "|"); got != c.want {
			t.Errorf("Tokens(%q) = %s, want %s", c.in, got, c.want)
		}
	}
	for e := range Tokens([]byte("a, b")) {
		if string(e) != "a" {
			t.Error("break does not end it")
		}
		break
	}
}

func TestTokensAllocs(t *testing.T) {
	v, n := []byte("keep-alive, Upgrade, close"), 0
	if got := testing.AllocsPerRun(100, func() {
		for e := range Tokens(v) {
			n += len(e)
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// Every byte at every place of the eight that are looked at together.
func TestTextEnd(t *testing.T) {
	for at := range 20 {
		for c := range 256 {
			b := bytes.Repeat([]byte("a"), 20)
			b[at] = byte(c)
			want := 20
			if c < 0x20 && c != '\t' || c == 0x7f {
				want = at
			}
			if got := textEnd(b, 0); got != want {
				t.Fatalf("textEnd with %#x at %d = %d, want %d", c, at, got, want)
			}
			b[(at+3)%20] = 0x7f
			b[(at+5)%20] = '\t'
			want = slices.IndexFunc(b, func(c byte) bool { return c < 0x20 && c != '\t' || c == 0x7f })
			if got := textEnd(b, 0); got != want {
				t.Fatalf("textEnd(%q) = %d, want %d", b, got, want)
			}
			if got := ValidValue(b); got {
				t.Fatalf("ValidValue(%q)", b)
			}
		}
	}
	if !ValidValue(nil) || !ValidValue([]byte(" a\tb \xff")) {
		t.Error("ValidValue refuses good values")
	}
}

func TestValidToken(t *testing.T) {
	for c := range 256 {
		want := c > 0x20 && c < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, rune(c))
		s := []byte{0x61, byte(c)}
		if got := ValidToken(s); got != want {
			t.Errorf("ValidToken(%q) = %v", s, got)
		}
	}
	if ValidToken(nil) {
		t.Error("an empty token")
	}
}
