package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// big makes a file with n servers, pools of ten of them, and a route to each pool.
func big(n int) string {
	var b strings.Builder
	b.WriteString("servers = {\n")
	for i := range n {
		fmt.Fprintf(&b, "  web%d = \"10.%d.%d.%d\"\n", i, i>>16, i>>8&255, i&255)
	}
	b.WriteString("}\npool \"all\" {\n  port = 80\n  servers = [\n")
	for i := range n {
		fmt.Fprintf(&b, "    server.web%d,\n", i)
	}
	b.WriteString("  ]\n}\n")
	for i := 0; i+10 <= n; i += 10 {
		fmt.Fprintf(&b, "server \"web%d\" {\n  weight = 2\n}\npool \"p%d\" {\n  port = 80\n  servers = [", i, i)
		for j := range 10 {
			fmt.Fprintf(&b, "server.web%d, ", i+j)
		}
		b.WriteString("]\n}\n")
	}
	b.WriteString("http \"site\" {\n  listen = \":80\"\n  pool = pool.all\n")
	for i := range n {
		fmt.Fprintf(&b, "  route \"/r%d/\" {\n    pool = pool.p%d\n  }\n", i, i/10*10)
	}
	b.WriteString("}\n")
	return b.String()
}

// TestBig guards against a check that compares everything with everything: the bound is far above what a slow machine
// needs, and far below what 10,000 x 10,000 would.
func TestBig(t *testing.T) {
	src := []byte(big(10_000))
	start := time.Now()
	c, err := Parse("big.hcl", src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	t.Logf("%d KiB in %v", len(src)>>10, took)
	if took > 30*time.Second {
		t.Errorf("10,000 servers and routes took %v", took)
	}
	if len(c.Servers) != 10_000 || len(c.HTTP[0].Routes) != 10_000 || len(c.Pools) != 1001 {
		t.Errorf("%d servers, %d routes, %d pools", len(c.Servers), len(c.HTTP[0].Routes), len(c.Pools))
	}
}

// TestBigMistake does the same with a file in which every reference is wrong.
func TestBigMistake(t *testing.T) {
	src := []byte(strings.ReplaceAll(big(10_000), "server.web", "server.wob"))
	start := time.Now()
	_, err := Parse("big.hcl", src, Options{})
	if err == nil {
		t.Fatal("no error")
	}
	n := len(err.Error())
	took := time.Since(start)
	t.Logf("%v", took)
	if took > 60*time.Second || n > 100_000 {
		t.Errorf("20,000 mistakes took %v and %d bytes", took, n)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		src := []byte(big(n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if _, err := Parse("big.hcl", src, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
