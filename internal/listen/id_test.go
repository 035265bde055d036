package listen

import (
	"bytes"
	"crypto/rand"
	"testing"
)

func TestIDsTellTheirGeneration(t *testing.T) {
	key, other := [32]byte{1}, [32]byte{2}
	seen := map[string]bool{}
	for g := range 256 {
		id := newIDs(key, byte(g)).next()
		if seen[string(id)] {
			t.Fatalf("made twice: %x", id)
		}
		seen[string(id)] = true
		if got, ok := newIDs(key, 7).owner(id); !ok || got != byte(g) {
			t.Errorf("owner(%x) = %d, %v, want %d", id, got, ok, g)
		}
		if got, ok := newIDs(key, 7).owner(id[:len(id)-1]); ok {
			t.Errorf("owner of a shorter ID = %d", got)
		}
	}
	// One of 65536 passes: of 20000 more than 10 would be a broken check, and so would be a look at the key's half.
	d, taken, foreign := newIDs(key, 0), 0, 0
	for range 20000 {
		id := make([]byte, ConnectionIDLength)
		rand.Read(id)
		if _, ok := d.owner(id); ok {
			taken++
		}
		if _, ok := d.owner(newIDs(other, 0).next()); ok {
			foreign++
		}
	}
	if taken > 10 || foreign > 10 {
		t.Errorf("%d random IDs and %d of another chain were taken for ours, of 20000 each", taken, foreign)
	}
}

func TestDestination(t *testing.T) {
	id := bytes.Repeat([]byte{7}, ConnectionIDLength)
	for name, c := range map[string]struct{ packet, want []byte }{
		"short":              {append([]byte{0x40}, append(id, 1, 2, 3)...), id},
		"short, just the ID": {append([]byte{0x40}, id...), id},
		"short, cut":         {append([]byte{0x40}, id[1:]...), nil},
		"long":               {append([]byte{0xc0, 0, 0, 0, 1, byte(len(id))}, append(id, 0)...), id},
		"long, other length": {[]byte{0xc0, 0, 0, 0, 1, 2, 8, 9, 0}, []byte{8, 9}},
		"long, other version, longest": {
			append([]byte{0x80, 9, 9, 9, 9, 255}, bytes.Repeat([]byte{3}, 256)...), bytes.Repeat([]byte{3}, 255),
		},
		"long, no ID": {[]byte{0xc0, 0, 0, 0, 1, 0, 0}, []byte{}},
		"long, cut":   {[]byte{0xc0, 0, 0, 0, 1, 3, 8, 9}, nil},
		"long, bare":  {[]byte{0xc0, 0, 0, 0, 1}, nil},
		"empty":       {nil, nil},
	} {
		if got := destination(c.packet); !bytes.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: destination = %x, want %x", name, got, c.want)
		}
	}
}
