package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"skein/config"
)

func (p Process) format() *cobra.Command {
	var write, differ bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE...]",
		Short: "Put a configuration into its usual form",
		Long: `Put configurations into their usual form: indentation, aligned equal signs.

The result is printed; --write puts it into the file instead, and --diff prints what would change and ends with code 1 if
anything would. "-" is standard input.`,
		Example: "  skein fmt -w skein.hcl\n  skein fmt --diff *.hcl\n  skein fmt - < skein.hcl",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{file(nil)}
			}
			changes := false
			for _, f := range args {
				changed, err := p.formatOne(f, write, differ)
				if err != nil {
					return err
				}
				changes = changes || changed
			}
			if differ && changes {
				return quiet{Failed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&write, "write", "w", false, "write the result to the file")
	cmd.Flags().BoolVar(&differ, "diff", false, "print what would change; exit code 1 if anything would")
	cmd.MarkFlagsMutuallyExclusive("write", "diff")
	return cmd
}

func (p Process) formatOne(file string, write, differ bool) (changed bool, err error) {
	var src []byte
	if file == "-" {
		if write {
			return false, wrong{fmt.Errorf("fmt: standard input cannot be written")}
		}
		src, err = io.ReadAll(p.In)
	} else {
		src, err = os.ReadFile(file)
	}
	if err != nil {
		return false, err
	}
	name := file
	if file == "-" {
		name = "<stdin>"
	}
	out, err := config.Format(name, src)
	if err != nil {
		return false, err
	}
	changed = !bytes.Equal(src, out)
	switch {
	case differ:
		if changed {
			_, err = p.Out.Write(diff.Diff(name, src, name+" (formatted)", out))
		}
	case write:
		if changed {
			err = replace(file, out)
		}
	default:
		_, err = p.Out.Write(out)
	}
	return changed, err
}

// replace writes a file as a whole, so that a reload at the same moment sees the old or the new one.
func replace(file string, content []byte) error {
	file, err := filepath.EvalSymlinks(file) // a link stays one
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	t, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(t.Name()) // does nothing after the rename
	_, err = t.Write(content)
	if err == nil {
		err = t.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = t.Sync()
	}
	if closeErr := t.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(t.Name(), file)
}
