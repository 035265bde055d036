package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const filesSite = `
pool "web" {
  servers = ["10.0.0.1:80"]
}
pool "php" {
  servers  = ["10.0.0.1:9000"]
  protocol = "fastcgi"
}
http "php" {
  listen = ":80"
  pool   = pool.php
  files {
    root = "public"
  }
  route "/large" {
    max_body = "1GiB"
  }
  route "/api" {
    pool = pool.web
  }
  route "/other" {
    files {
      root        = "/srv/other"
      index       = []
      try         = ["{path}.html", "=404"]
      script      = ".php5"
      script_root = "/var/www/other/"
      params      = { B = "2", A = "1\n2" }
      hidden      = true
    }
  }
  route "/gone" {
    redirect = "/"
  }
}
http "static" {
  listen = ":81"
  files {
    root = "/srv/static"
  }
  route "/app" {
    pool = pool.web
    files {
      root = "/srv/app"
    }
  }
}`

func TestFiles(t *testing.T) {
	c := parse(t, filesSite, Options{})
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(dir, "public")
	php := &Files{Root: public, Index: []string{"index.php", "index.html"}, Try: []string{"{path}", "{path}/", "/index.php"}, Script: ".php", ScriptRoot: public}
	static := func(root string) *Files {
		return &Files{Root: root, Index: []string{"index.html"}, Try: []string{"{path}", "{path}/"}}
	}
	for _, tt := range []struct {
		name string
		r    *Route
		pool string
		want *Files
	}{
		{"php", &c.HTTP[0].Default, "php", php},
		{"php /large has its block's", &c.HTTP[0].Routes[0], "php", php},
		{"php /api goes elsewhere", &c.HTTP[0].Routes[1], "web", nil},
		{"php /other", &c.HTTP[0].Routes[2], "php", &Files{
			Root: "/srv/other", Try: []string{"{path}.html", "=404"}, Script: ".php5", ScriptRoot: "/var/www/other",
			Params: []Param{{"B", "2"}, {"A", "1\n2"}}, Hidden: true,
		}},
		{"php /gone", &c.HTTP[0].Routes[3], "", nil},
		{"static", &c.HTTP[1].Default, "", static("/srv/static")},
		{"static /app", &c.HTTP[1].Routes[0], "web", static("/srv/app")},
	} {
		if diff := cmp.Diff(tt.want, tt.r.Files, cmpopts.IgnoreTypes(Pos{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		pool := ""
		if tt.r.Pool != nil {
			pool = tt.r.Pool.Name
		}
		if pool != tt.pool {
			t.Errorf("%s: pool %q, want %q", tt.name, pool, tt.pool)
		}
	}
}

// TestFilesElsewhere: how a pool of another node is spoken to may be that node's to know.
func TestFilesElsewhere(t *testing.T) {
	parse(t, `
servers = { lb1 = "10.0.0.1", lb2 = "10.0.0.2" }
pool "php" {
  servers  = [env("FPM")]
  protocol = env("PROTOCOL")
}
http "there" {
  listen = ":80"
  nodes  = [server.lb2]
  pool   = pool.php
  files {
    root   = env("ROOT")
    script = ".php"
    params = { A = secret("a"), B = env("B") }
  }
}`, Options{Node: "lb1", Env: func(string) (string, bool) { return "", false }})
}

func TestCompress(t *testing.T) {
	c := parse(t, `
http "a" {
  listen  = ":80"
  servers = ["10.0.0.1:80"]
  compress {
    encodings = ["gzip", "br"]
    min_size  = "2KiB"
  }
  route "/same" {
    max_body = 1
  }
  route "/types" {
    compress {
      types = ["Text/CSS", "image/*"]
    }
  }
  route "/off" {
    compress {
      off = true
    }
  }
}
http "b" {
  listen  = ":81"
  servers = ["10.0.0.1:80"]
  route "/on" {
    compress {
    }
  }
}`, Options{})
	a := &Compress{Encodings: []string{"gzip", "br"}, Types: compressTypes(), MinSize: 2048}
	types := &Compress{Encodings: []string{"gzip", "br"}, Types: []string{"text/css", "image/*"}, MinSize: 2048}
	on := &Compress{Encodings: []string{"zstd", "br", "gzip"}, Types: compressTypes(), MinSize: 1024}
	got := []*Compress{c.HTTP[0].Default.Compress}
	for _, h := range c.HTTP {
		for _, r := range h.Routes {
			got = append(got, r.Compress)
		}
	}
	if diff := cmp.Diff([]*Compress{a, a, types, nil, on}, got); diff != "" {
		t.Errorf("compress (-want +got):\n%s", diff)
	}
	if c.HTTP[1].Default.Compress != nil {
		t.Error("a block without compress compresses")
	}
}

// TestManyRoutes: files and compression of many routes are read in a time that grows with their number only.
func TestManyRoutes(t *testing.T) {
	const n = 5000
	var src strings.Builder
	src.WriteString("pool \"php\" {\n  servers  = [\"10.0.0.1:9000\"]\n  protocol = \"fastcgi\"\n}\n")
	src.WriteString("http \"a\" {\n  listen = \":80\"\n  pool = pool.php\n  files {\n    root = \"/srv\"\n  }\n")
	for i := range n {
		fmt.Fprintf(&src, "  route \"/r%d\" {\n    files {\n      root = \"/srv\"\n    }\n    compress {\n    }\n  }\n", i)
	}
	src.WriteString("}\n")
	start := time.Now()
	c := parse(t, src.String(), Options{})
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("%d routes took %v", n, took)
	}
	if len(c.HTTP[0].Routes) != n || c.HTTP[0].Routes[n-1].Files.Script != ".php" {
		t.Errorf("%d routes, want %d with files", len(c.HTTP[0].Routes), n)
	}
}
