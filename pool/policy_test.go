package pool

import "testing"

// These values must never change: a visitor's member depends on them, on every node.
func TestHashGolden(t *testing.T) {
	for in, want := range map[string]Key{
		"":                 0xefd01f60ba992926,
		"a":                0x82a2a958a9bece5b,
		"198.51.100.7":     0xa423aaea3afd7152,
		"/index.php?p=1&x": 0xe7d899e6708ffb80,
	} {
		if got := Hash(in); got != want {
			t.Errorf("Hash(%q) = %#x, want %#x", in, uint64(got), uint64(want))
		}
		if got := Hash([]byte(in)); got != Hash(in) {
			t.Errorf("Hash of %q differs as bytes", in)
		}
	}
	if got := Mix(1, 2); got != 0x8d4f874c404dde5c {
		t.Errorf("Mix(1, 2) = %#x", got)
	}
}

func TestMask(t *testing.T) {
	var k Mask
	ms := make([]*Member, MaxTries+1)
	for i := range ms {
		ms[i] = &Member{}
		if k.Has(ms[i]) || k.Has(nil) {
			t.Fatalf("the mask has member %d", i)
		}
		k.Add(ms[i])
		k.Add(ms[i])
		if want := min(i+1, MaxTries); k.Len() != want {
			t.Fatalf("%d members after %d, want %d", k.Len(), i+1, want)
		}
	}
	if !k.Has(ms[0]) || !k.Has(ms[MaxTries-1]) || k.Has(ms[MaxTries]) {
		t.Error("a full mask has the wrong members")
	}
}
