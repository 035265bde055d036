package config

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/hashicorp/hcl/v2"
)

// Files serves files of a directory before, or instead of, a pool.
//
// A path is looked for as Try says, left to right; the first that is a file is served, or run if its name ends in Script.
// What is not found goes to the pool, unless the pool speaks FastCGI: that runs scripts only, so it is a 404.
type Files struct {
	Pos        Pos
	Root       string   // absolute directory
	Index      []string // names looked for in a directory
	Try        []string // "{path}", "{path}/" (its index), "{path}.html", "/index.php" (the last resort); "=404" only at the end
	Script     string   // ending of scripts, which are sent to the pool and never served: ".php"; "" is none
	ScriptRoot string   // Root as the FastCGI server sees it
	Params     []Param  // FastCGI parameters beside the usual ones
	Hidden     bool     // serve names that begin with a dot; .well-known always is
}

// Param is one FastCGI parameter.
type Param struct {
	Name, Value string // the value may be secret
}

// Format hides the value, which may be secret, from every verb of package fmt.
func (p Param) Format(f fmt.State, _ rune) { fmt.Fprint(f, p.Name+" "+hidden) }

// MarshalText hides the value from encoders.
func (p Param) MarshalText() ([]byte, error) { return []byte(p.Name + " " + hidden), nil }

func filesBlock(path string) Block {
	return Block{Path: path, Keys: []Key{
		{"root", "path", "", "Needed. Directory of the files. It need not be there yet, and may be a symbolic link that a deploy switches."},
		{"index", "text or list", "", "Names looked for in a directory; without it `[\"index.html\"]`, or `[\"index.php\", \"index.html\"]` with a fastcgi pool."},
		{"try", "text or list", "", "What a path may mean, the first file wins: `{path}` as it is, `{path}/` a directory's index, `{path}.html`, a name such as `/index.php`, and `=404` at the end. Without it `[\"{path}\", \"{path}/\"]`, and then `/index.php` with a fastcgi pool."},
		{"script", "text", "", "Fastcgi pool only: ending of the names that are run and never shown; without it `.php`."},
		{"script_root", "text", "", "Fastcgi pool only: `root` as the FastCGI server sees it, if it has another name there (a container)."},
		{"params", "object of texts", "{}", "Fastcgi pool only: parameters beside the usual ones, such as `{ APP_ENV = \"production\" }`. Values may be secrets."},
		{"hidden", "bool", "false", "Serve names that begin with a dot as well; `.well-known` always is."},
	}}
}

// sender is a place of the file that sends requests to a pool, looks for files, or both. It is judged when the pools are known.
type sender struct {
	pool  *Pool // nil is none
	files *Files
	block *block // files' own; nil if there is none, or it is the outer block's
	title string
	at    hcl.Range
}

// readFiles reads the block; what depends on the pool is filled in by senders.
func (d *decoder) readFiles(b *block) *Files {
	if b == nil {
		return nil
	}
	f := &Files{Pos: b.pos(), Hidden: b.flag("hidden", false), Params: d.readParams(b.body)}
	if !b.has("root") {
		d.fail(b.labelAt, "Missing root", "files needs the directory that they are in: root = \"/srv/shop/public\".")
	}
	if s := b.filePath("root", ""); s != "" {
		f.Root = d.rooted(s)
		d.doubtRoot(b, f.Root)
	}
	for _, v := range b.texts("index") {
		switch {
		case v.text == "" || v.text == "." || v.text == ".." || strings.ContainsAny(v.text, "/\x00"):
			d.fail(v.at, "Not a file name", "%s: index has plain names such as \"index.html\", which are looked for in each directory.", v.show())
		case slices.Contains(f.Index, v.text):
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
		default:
			f.Index = append(f.Index, v.text)
		}
	}
	items := b.texts("try")
	if v := b.value("try"); v.kind == list && len(v.items) == 0 {
		d.fail(v.at, "Empty list", "Nothing would ever be found. Leave try out to have the usual places.")
	}
	for i, v := range items {
		switch problem := badTry(v.text, i == len(items)-1); {
		case problem != "":
			d.fail(v.at, "Not a place to look", "%s: %s.", v.show(), problem)
		case slices.Contains(f.Try, v.text):
			d.fail(v.at, "Listed twice", "%s is already in the list.", v.show())
		default:
			f.Try = append(f.Try, v.text)
		}
	}
	return f
}

// doubtRoot warns if there is nothing to serve from yet.
func (d *decoder) doubtRoot(b *block, root string) {
	if b.scope.elsewhere {
		return
	}
	if st, err := os.Stat(root); err != nil {
		d.warn(b.where("root"), "Directory not there", "%s. Until it is, no file is found.", err)
	} else if !st.IsDir() {
		d.warn(b.where("root"), "Directory not there", "%s is a file, not a directory, so nothing is found in it.", root)
	} else if err := syscall.Access(root, 1); err != nil { // X_OK: the right to open what is in it
		d.warn(b.where("root"), "Directory may not be entered", "%s: %s. Let the user that runs Skein in: chmod o+x, or its group.", root, err)
	}
}

// badTry says why an entry of try names no file.
func badTry(s string, last bool) string {
	rest, whole := strings.CutPrefix(s, "{path}")
	switch {
	case s == "=404":
		if !last {
			return "what stands behind it would never be looked at"
		}
		return ""
	case strings.HasPrefix(s, "="):
		return "only \"=404\" ends a list"
	case !whole && !strings.HasPrefix(s, "/"):
		return "write \"{path}\", something behind it as in \"{path}.html\", or a name below root as in \"/index.php\""
	case strings.ContainsAny(rest, "{}"):
		return "{path} stands at the beginning, and there is nothing else in braces"
	case !whole && s == "/":
		return "the root is a directory; name a file in it"
	case strings.ContainsAny(rest, "\x00?#"):
		return "it is the name of a file, without a query; a script sees the query of the request anyway"
	}
	for part := range strings.SplitSeq(rest, "/") {
		if part == "." || part == ".." {
			return "it has a part \"" + part + "\"; write where it leads"
		}
	}
	if strings.Contains(rest, "//") {
		return "it has two slashes in a row"
	}
	return ""
}

const maxParam = 64 << 10 // bytes of a value

// readParams reads parameters beside those that are made of the request (RFC 3875 section 4.1 and what php-fpm wants).
func (d *decoder) readParams(b *body) []Param {
	own := strings.Fields(`AUTH_TYPE CONTENT_LENGTH CONTENT_TYPE DOCUMENT_ROOT DOCUMENT_URI GATEWAY_INTERFACE HTTPS PATH_INFO PATH_TRANSLATED QUERY_STRING
		REDIRECT_STATUS REMOTE_ADDR REMOTE_PORT REQUEST_METHOD REQUEST_SCHEME REQUEST_URI SCRIPT_FILENAME SCRIPT_NAME SERVER_ADDR SERVER_NAME SERVER_PORT
		SERVER_PROTOCOL SERVER_SOFTWARE`)
	var out []Param
	for _, e := range b.object("params", `an object such as { APP_ENV = "production" }`) {
		switch {
		case !isToken(e.key) || len(e.key) > 127:
			d.fail(e.at, "Not a parameter", "%q: the name of a parameter has letters, digits and _.", shorten(e.key))
			continue
		case strings.HasPrefix(e.key, "HTTP_"):
			d.fail(e.at, "Not a parameter", "%q: parameters that begin with HTTP_ are the fields of the request. Use request_headers to change those.", e.key)
			continue
		case slices.Contains(own, e.key):
			d.fail(e.at, "Not a parameter", "%s tells of the request or of where the script is, so only Skein writes it.", e.key)
			continue
		}
		v := e.value
		if v.kind == text && v.secret {
			v.secret = false
		} else if !b.want(e.key, &v, text, "a text in quotes") {
			continue
		}
		if strings.ContainsRune(v.text, 0) || len(v.text) > maxParam {
			d.fail(v.at, "Not a parameter", "The value of %s has a zero byte, or more than %s.", e.key, showSize(maxParam))
			continue
		}
		out = append(out, Param{Name: e.key, Value: v.text})
	}
	return out
}

// senders judges what depends on how a pool is spoken to, and fills in what files have by it.
func (d *decoder) senders() {
	for _, s := range d.sends {
		protocol := ""
		if s.pool != nil {
			protocol = s.pool.Protocol
			if p := d.pools[s.pool.Name]; p != nil && p.Pool == s.pool && p.vague {
				continue // it was reported, or another node knows
			}
		}
		fastcgi := protocol == "fastcgi"
		if fastcgi && s.files == nil {
			d.fail(s.at, "Missing files", "%s sends requests to pool %q, which speaks FastCGI and needs to know where the scripts are. Write files { root = \"/srv/shop/public\" } in it.",
				s.title, s.pool.Name)
		}
		if s.block != nil {
			d.finishFiles(s.block, s.files, fastcgi)
		}
	}
}

func (d *decoder) finishFiles(b *block, f *Files, fastcgi bool) {
	index, try, script := []string{"index.html"}, []string{"{path}", "{path}/"}, ""
	if fastcgi {
		index, try, script = []string{"index.php", "index.html"}, append(try, "/index.php"), ".php"
	}
	if !b.has("index") {
		f.Index = index
	}
	if !b.has("try") {
		f.Try = try
	}
	if !fastcgi {
		for _, key := range []string{"script", "script_root", "params"} {
			if b.has(key) {
				d.fail(b.nameAt(key), "Key without effect", "%s belongs to a pool with protocol = \"fastcgi\", and these files have none.", key)
			}
		}
		// Without something that runs it, the source of a script is a file like any other.
		for _, key := range []string{"index", "try"} {
			for _, v := range b.list(key) {
				if strings.HasSuffix(v.text, ".php") && !v.secret {
					d.warn(v.at, "Script shown as text", "No fastcgi pool runs %s here, so visitors would see its source. Write pool = pool.NAME with protocol = \"fastcgi\".", v.show())
				}
			}
		}
		return
	}
	f.Script = b.str("script", script)
	if v := b.value("script"); b.has("script") && v.kind == text && !v.secret && (len(f.Script) < 2 || f.Script[0] != '.' || !isToken(f.Script)) {
		d.fail(v.at, "Not an ending", "%s: script is the ending of a name, such as \".php\".", v.show())
	}
	f.ScriptRoot = b.str("script_root", f.Root)
	if v := b.value("script_root"); b.has("script_root") && v.kind == text && !v.secret {
		if !strings.HasPrefix(f.ScriptRoot, "/") || strings.ContainsRune(f.ScriptRoot, 0) {
			d.fail(v.at, "Not an absolute path", "%s: the FastCGI server is another program, so it needs the whole path, such as \"/var/www/public\".", v.show())
		}
		f.ScriptRoot = path.Clean(f.ScriptRoot) // "/" of a php-fpm with chroot stays
	}
}
