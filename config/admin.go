package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
)

// Admin is the admin block.
type Admin struct {
	Socket string // path of the unix socket; always set
	Listen string // loopback host:port of the HTTP listener; "" is none
	Pprof  bool
}

func adminBlocks() []Block {
	return []Block{{Path: "admin", Keys: []Key{
		{"socket", "path", "", "Unix socket of the admin API. Without it `/run/skein/skein.sock` for root, else `$XDG_RUNTIME_DIR/skein/skein.sock` or `/tmp/skein-UID/skein.sock`."},
		{"listen", "text", "", "Loopback address of the admin API, metrics and dashboard, such as `\"127.0.0.1:9180\"`. Without it only the socket is there."},
		{"pprof", "bool", "false", "Serve Go's profiles beside it."},
	}}}
}

func (d *decoder) readAdmin(b *block) Admin {
	a := Admin{Socket: d.o.DefaultSocket()}
	if b == nil {
		return a
	}
	a.Socket = b.filePath("socket", a.Socket)
	if len(a.Socket) > maxUnix {
		d.fail(b.where("socket"), "Path too long", "The path of a unix socket has at most %d characters; this one has %d: %s", maxUnix, len(a.Socket), shorten(a.Socket))
	}
	a.Pprof = b.flag("pprof", false)
	if !b.has("listen") {
		return a
	}
	v := b.value("listen")
	s := b.str("listen", "")
	if v.kind != text || v.secret {
		return a
	}
	addr, problem := listenAddress(s)
	if problem != "" {
		d.fail(v.at, "Not an address", "%s: %s.", v.show(), problem)
		return a
	}
	host, _ := cutPort(addr)
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		d.fail(v.at, "Admin API not on loopback", "%s can be reached from other machines. Remote control needs TLS and tokens, which do not exist yet: listen on 127.0.0.1 or [::1].", v.show())
		return a
	}
	a.Listen = addr
	return a
}

// DefaultSocket is the path of the admin socket if the file names none.
func (o *Options) DefaultSocket() string {
	if os.Geteuid() == 0 {
		return "/run/skein/skein.sock"
	}
	if dir, ok := o.env("XDG_RUNTIME_DIR"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "skein", "skein.sock")
	}
	return filepath.Join("/tmp", "skein-"+strconv.Itoa(os.Geteuid()), "skein.sock")
}

// statePath is the state directory if the file names none.
func (d *decoder) statePath() string {
	if os.Geteuid() == 0 {
		return "/var/lib/skein"
	}
	if dir, ok := d.o.env("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "skein")
	}
	if home, ok := d.o.env("HOME"); ok && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "skein")
	}
	return filepath.Join("/tmp", "skein-"+strconv.Itoa(os.Geteuid()), "state")
}
