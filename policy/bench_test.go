package policy

import (
	"fmt"
	"testing"
	"time"

	"skein/config"
	"skein/pool"
)

// 64 and 128 are the largest pools in which least_conn and hash look at all members.
var benchSizes = []int{3, 64, 100, 128, 10000}

func each(b *testing.B, f func(b *testing.B, c config.Policy, p *pool.Pool)) {
	for _, i := range List() {
		cs := []config.Policy{{Name: i.Name}}
		if i.Bounded {
			cs = append(cs, config.Policy{Name: i.Name, Bounded: 1.25})
		}
		for _, c := range cs {
			for _, n := range benchSizes {
				name := c.Name
				if c.Bounded != 0 {
					name += "_bounded"
				}
				b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { f(b, c, newPool(b, c, n, 1, 2, 3)) })
			}
		}
	}
}

// BenchmarkPick picks from members that are at work, with known latencies.
func BenchmarkPick(b *testing.B) {
	each(b, func(b *testing.B, c config.Policy, p *pool.Pool) {
		for i := range 4 * len(p.Usable()) {
			hold(b, p, key(i)).Observe(time.Now(), time.Duration(1+i%7)*time.Millisecond)
		}
		k := picker(b, c, p.Usable())
		b.ReportAllocs()
		i := pool.Key(0)
		for b.Loop() {
			i++
			if k.Pick(pool.Key(mix(uint64(i))), pool.Mask{}) == nil {
				b.Fatal("nil")
			}
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	each(b, func(b *testing.B, c config.Policy, p *pool.Pool) {
		usable := p.Usable()
		for b.Loop() {
			picker(b, c, usable)
		}
	})
}
