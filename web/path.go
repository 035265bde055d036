package web

import "errors"

// errPath is a path that has no normal form.
var errPath = errors.New("the path leaves the root")

// normalize returns path in the one form by which it is routed and sent on: percent-encoded unreserved characters decoded,
// other escapes in upper case, dot segments removed (RFC 3986 sections 6.2.2 and 5.2.4). A proxy that routes by one form and
// forwards another can be walked around. Escaped slashes stay escaped and belong to their segment; double slashes stay,
// because some applications mean them.
//
// A path that is normal already, as nearly all are, is returned as it is. The result may share path's memory.
func normalize(path []byte) ([]byte, error) {
	if isNormal(path) {
		return path, nil
	}
	return removeDots(decodeUnreserved(path))
}

// isNormal finds quickly that there is nothing to do: no escape and no segment that begins with a dot.
func isNormal(path []byte) bool {
	slash := false
	for _, c := range path {
		if c == '%' || c == '.' && slash {
			return false
		}
		slash = c == '/'
	}
	return true
}

func decodeUnreserved(path []byte) []byte {
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' || i+2 >= len(path) {
			out = append(out, c)
			continue
		}
		v := unhex(path[i+1])<<4 | unhex(path[i+2])
		if unreserved(v) {
			out = append(out, v)
		} else {
			out = append(out, '%', upper(path[i+1]), upper(path[i+2]))
		}
		i += 2
	}
	return out
}

// removeDots works in place: what it writes never overtakes what it reads.
func removeDots(path []byte) ([]byte, error) {
	out := path[:0]
	for i := 0; i < len(path); {
		// path[i] is a slash; the segment goes to the next one.
		j := i + 1
		for j < len(path) && path[j] != '/' {
			j++
		}
		last := j == len(path)
		switch string(path[i+1 : j]) {
		case ".":
			if last {
				out = append(out, '/')
			}
		case "..":
			k := len(out) - 1
			for k >= 0 && out[k] != '/' {
				k--
			}
			if k < 0 {
				return nil, errPath
			}
			out = out[:k]
			if last {
				out = append(out, '/')
			}
		default:
			out = append(out, path[i:j]...)
		}
		i = j
	}
	if len(out) == 0 {
		out = append(out, '/')
	}
	return out, nil
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'f' {
		return c - 'a' + 'A'
	}
	return c
}
