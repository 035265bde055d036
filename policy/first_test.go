package policy

import (
	"testing"

	"skein/config"
	"skein/pool"
)

func firstPool(t *testing.T, n, limit int) (*pool.Pool, map[*pool.Member]int) {
	p := poolOf(t, &config.Pool{Name: "p", Policy: config.Policy{Name: "first"}, Members: members(n), MaxConns: limit})
	place := map[*pool.Member]int{}
	for i, m := range p.Usable() {
		place[m] = i
	}
	return p, place
}

func TestFirst(t *testing.T) {
	p, place := firstPool(t, 5, 2)
	var held []*pool.Member
	for i := range 10 {
		m := hold(t, p, 0)
		if place[m] != i/2 {
			t.Errorf("piece %d went to member %d, want %d", i, place[m], i/2)
		}
		held = append(held, m)
	}
	p.Release(held[6])
	p.Release(held[3])
	if m := hold(t, p, 0); place[m] != 1 {
		t.Errorf("went to member %d, want 1, the first with room", place[m])
	}
}

// A large pool fills from the front too, and goes back there when room opens.
func TestFirstOfMany(t *testing.T) {
	p, place := firstPool(t, 2000, 1)
	for range 1000 {
		hold(t, p, 0)
	}
	for m, i := range place {
		if want := int64(0); i >= 1000 && m.Active() != want {
			t.Errorf("member %d works while there was room before it", i)
		}
	}
	for m, i := range place {
		if i < 200 {
			p.Release(m)
		}
	}
	front := 0
	for range 150 {
		if place[hold(t, p, 0)] < 200 {
			front++
		}
	}
	if front < 100 {
		t.Errorf("%d of 150 pieces went to the 200 free members at the front", front)
	}
	for range 2000 - 950 {
		hold(t, p, 0)
	}
}
