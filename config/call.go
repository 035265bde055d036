package config

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The three functions of the language bring something in from outside. What they bring is part of the hash.

const (
	maxIncluded = 1 << 20 // bytes of a file that is included by value
	maxSecret   = 64 << 10
)

func (ev evaluator) call(e *hclsyntax.FunctionCallExpr, at hcl.Range) value {
	v := value{at: at}
	functions := []string{"env", "file", "secret"}
	known := false
	for _, f := range functions {
		known = known || f == e.Name
	}
	if !known {
		ev.d.fail(at, "Unknown function", "There is no function %q; there are env, file and secret.%s", e.Name, didYouMean(e.Name, functions))
		return v
	}
	if len(e.Args) != 1 || e.ExpandFinal {
		ev.d.fail(at, "Wrong argument", "%s takes one text: %s(\"...\").", e.Name, e.Name)
		return v
	}
	if _, nested := e.Args[0].(*hclsyntax.FunctionCallExpr); nested {
		ev.d.fail(at, "Wrong argument", "%s takes a plain text, not the result of another function.", e.Name)
		return v
	}
	arg := ev.eval(e.Args[0])
	switch {
	case arg.kind == bad:
		return v
	case arg.kind != text || arg.secret:
		ev.d.fail(at, "Wrong argument", "%s takes one text: %s(\"...\").", e.Name, e.Name)
		return v
	case arg.text == "" || strings.ContainsRune(arg.text, 0):
		ev.d.fail(at, "Wrong argument", "%s needs a name.", e.Name)
		return v
	case ev.elsewhere:
		v.kind, v.secret = unjudged, e.Name == "secret"
		return v
	}
	var ok bool
	switch e.Name {
	case "env":
		if v.text, ok = ev.d.o.env(arg.text); !ok {
			ev.d.fail(at, "Environment variable not set", "The environment has no variable %q. Set it for the process, or write the value here.", arg.text)
			return v
		}
		ev.d.include("env", arg.text, []byte(v.text))
	case "file":
		data, err := ev.d.readFile(arg.text, maxIncluded)
		if err != nil {
			ev.d.fail(at, "File not readable", "%s. A path is relative to the file that names it.", err)
			return v
		}
		ev.d.include("file", arg.text, data)
		v.text = trimNewline(string(data))
	case "secret":
		v.secret = true
		if v.text, ok = ev.d.secret(arg.text, at); !ok {
			return v
		}
	}
	v.kind, v.loose = text, e.Name != "secret"
	return v
}

// trimNewline takes off the line end that editors put at the end of a file.
func trimNewline(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
}

// readFile reads a file that the configuration names.
func (d *decoder) readFile(path string, most int64) ([]byte, error) {
	path = d.absolute(path)
	data, err := d.o.read(path, most)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errTooLarge}
	}
	return data, nil
}

var (
	errTooLarge   = errors.New("file is too large")
	errNotRegular = errors.New("not a regular file")
)

// readRegular reads at most one byte more than most. Devices and pipes are refused: they may never end.
func readRegular(path string, most int64) ([]byte, error) {
	if st, err := os.Stat(path); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errNotRegular}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most+1))
}

// secret looks a secret up in the directories for them. Its value is in no error.
func (d *decoder) secret(name string, at hcl.Range) (string, bool) {
	if s, ok := d.secrets[name]; ok {
		return s, true
	}
	if strings.HasPrefix(name, ".") || strings.ContainsAny(name, `/\`) {
		d.fail(at, "Wrong argument", "A secret has a plain name, not a path: it is a file in %s.", d.secretPlaces())
		return "", false
	}
	for _, dir := range d.o.secretDirs() {
		path := filepath.Join(dir, name)
		st, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && st.Mode().Perm()&0o004 != 0 {
			d.fail(at, "Secret readable by everybody", "%s has mode %04o. Take the right from others: chmod o-rwx %s", path, st.Mode().Perm(), path)
			return "", false
		}
		var data []byte
		if err == nil {
			data, err = readRegular(path, maxSecret)
		}
		if err == nil && len(data) > maxSecret {
			err = &fs.PathError{Op: "read", Path: path, Err: errTooLarge}
		}
		if err != nil {
			d.fail(at, "Secret not readable", "%s.", err)
			return "", false
		}
		s := trimNewline(string(data))
		d.secrets[name] = s
		d.includeSecret(name, s)
		return s, true
	}
	d.fail(at, "No such secret", "There is no secret %q in %s. It is a file of that name there, which others may not read.", name, d.secretPlaces())
	return "", false
}

func (d *decoder) secretPlaces() string {
	return strings.Join(d.o.secretDirs(), " or ")
}

// include makes something from outside part of the hash.
func (d *decoder) include(kind, name string, data []byte) {
	sum := sha256.Sum256(data)
	d.included[kind+"\x00"+name] = sum[:]
}

// includeSecret is include for a secret. The hash is shown to everybody who may read the status, so a short secret must
// not be found by trying: the sum is made slow.
func (d *decoder) includeSecret(name, s string) {
	const rounds = 100_000 // about 20 ms
	sum, err := pbkdf2.Key(sha256.New, s, []byte("skein secret "+name), rounds, sha256.Size)
	if err != nil { // only in FIPS mode, for parameters that it does not allow
		sum = []byte("secret")
	}
	d.included["secret\x00"+name] = sum
}
