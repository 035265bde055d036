package web

import (
	"bytes"
	"strings"
)

// A request's path names a file like this. Every rule is about what the visitor writes; whoever may write below the root,
// symbolic links included, is trusted, as nginx trusts him by default: Laravel's public/storage is a link that leads out of
// the root, and deploys switch the root itself with one.
//
//   - The path is in normal form (see normalize), so that no ".." is left, and is then decoded once. An escaped slash or
//     control character names no file: nobody can write a ".." or another directory with them.
//   - A name that begins with a dot is no file, .well-known at the root apart (RFC 8615 section 3), unless hidden ones are
//     wanted.
//   - What a script is, its name's ending says, as it is written. A name that only some file systems take for a script's
//     (index.PHP, "index.php.", "index.php ") or that holds one by custom (index.php~, x.phtml) is neither run nor served.
//   - A script's name ends at a slash or at the end; what follows is for the script: /index.php/a/b.
//   - Only regular files are served, and a slash at the end never names one.

// decodePath appends the path with its escapes decoded. What lies behind plain, an index of the result, has an escaped slash or
// a control character before it, and so can be no file's name.
func decodePath(dst, path []byte) (name []byte, plain int) {
	plain = -1
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' && i+2 < len(path) {
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
			if c == '/' && plain < 0 {
				plain = len(dst)
			}
		}
		if (c < 0x20 || c == 0x7f) && plain < 0 {
			plain = len(dst)
		}
		dst = append(dst, c)
	}
	if plain < 0 {
		plain = len(dst)
	}
	return dst, plain
}

// hasHidden reports whether a part of the name begins with a dot. "." and ".." do, too.
func hasHidden(name []byte) bool {
	for i := 0; ; {
		j := bytes.Index(name[i:], []byte("/."))
		if j < 0 {
			return false
		}
		i += j + 1
		if i != 1 || !isWellKnown(name) {
			return true
		}
	}
}

func isWellKnown(name []byte) bool {
	rest, ok := bytes.CutPrefix(name, []byte("/.well-known"))
	return ok && (len(rest) == 0 || rest[0] == '/')
}

// hasDots reports whether a part of the name is "." or "..". A path in normal form has none; this is the second lock.
func hasDots(name []byte) bool {
	for rest := name; ; {
		i := bytes.Index(rest, []byte("/."))
		if i < 0 {
			return false
		}
		rest = rest[i+2:]
		switch {
		case len(rest) == 0, rest[0] == '/':
			return true
		case rest[0] == '.' && (len(rest) == 1 || rest[1] == '/'):
			return true
		}
	}
}

// scriptEnd returns the index behind the first script's name at or after from, 0 if there is none: the ending, with something
// before it, and then a slash or nothing.
func scriptEnd(name []byte, ending string, from int) int {
	for from < len(name) {
		i := bytes.Index(name[from:], []byte(ending))
		if i < 0 {
			return 0
		}
		i += from
		end := i + len(ending)
		if (end == len(name) || name[end] == '/') && i > 0 && name[i-1] != '/' {
			return end
		}
		from = i + 1
	}
	return 0
}

// otherEndings are those of PHP's own sources beside .php.
const otherEndings = ".phtml .pht .php3 .php4 .php5 .php7 .php8"

// isSource reports whether the last part of the name may be a script's under another writing: it must not be shown.
func isSource(name []byte, ending string) bool {
	last := string(bytes.TrimRight(name[bytes.LastIndexByte(name, '/')+1:], ". ~"))
	last, _, _ = strings.Cut(last, ":") // an NTFS stream: "index.php::$DATA"
	if dot := strings.LastIndexByte(last, '.'); dot >= 0 && ending == ".php" && len(last) > dot+1 && last[dot+1]|0x20 == 'p' {
		for e := range strings.FieldsSeq(otherEndings) {
			if strings.EqualFold(last[dot:], e) {
				return true
			}
		}
	}
	return len(last) >= len(ending) && strings.EqualFold(last[len(last)-len(ending):], ending)
}
