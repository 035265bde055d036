package config

import (
	"os"
	"strings"
	"time"
)

// maxProbe is how long web asks at most, so that a longer time-out would do nothing.
const maxProbe = 5 * time.Second

func (d *decoder) readVIPProbe(b *body) VIPProbe {
	return VIPProbe{
		Every:   b.time("every", time.Second, 100*time.Millisecond, time.Hour),
		Timeout: b.time("timeout", 2*time.Second, 10*time.Millisecond, maxProbe),
		Rise:    b.count("rise", 2, 1, 100),
		Fall:    b.count("fall", 3, 1, 100),
	}
}

// maxVIPChecks bounds the processes that are started again and again.
const maxVIPChecks = 16

func (d *decoder) readVIPChecks(b *block) []VIPCheck {
	var out []VIPCheck
	taken := map[string]*block{}
	blocks := b.all("check")
	if len(blocks) > maxVIPChecks {
		d.fail(blocks[maxVIPChecks].labelAt, "Too many checks", "A vip has at most %d checks, this one has %d.", maxVIPChecks, len(blocks))
		blocks = blocks[:maxVIPChecks]
	}
	for _, c := range blocks {
		if problem := badName(c.label); problem != "" {
			d.fail(c.labelAt, "Not a name", "%q cannot name a check: %s.", shorten(c.label), problem)
		} else if first := taken[c.label]; first != nil {
			d.fail(c.labelAt, "Name already taken", "There is already a check %q on line %d.", c.label, first.labelAt.Start.Line)
		}
		taken[c.label] = c
		if !c.has("command") {
			d.fail(c.labelAt, "Missing command", "check %q needs a command: command = [\"/usr/local/bin/router-up\"].", shorten(c.label))
		}
		out = append(out, VIPCheck{
			Name:    c.label,
			Command: d.command(c, "command"),
			Every:   c.time("every", 2*time.Second, 100*time.Millisecond, time.Hour),
			Timeout: c.time("timeout", time.Second, 10*time.Millisecond, time.Hour),
			Rise:    c.count("rise", 2, 1, 100),
			Fall:    c.count("fall", 3, 1, 100),
		})
	}
	return out
}

// command reads a program and its arguments. The path is absolute, as it is run with the rights of a process that may
// change the network, and what PATH finds is anybody's guess.
func (d *decoder) command(b *block, key string) []string {
	if !b.has(key) {
		return nil
	}
	items := b.list(key)
	if b.value(key).kind == list && len(items) == 0 {
		d.fail(b.where(key), "Empty list", "%s needs a program: %s = [\"/usr/local/bin/program\", \"argument\"].", key, key)
		return nil
	}
	var out []string
	for i, v := range items {
		if !b.want(key, &v, text, "a command as a list of texts") {
			continue
		}
		switch {
		case strings.ContainsRune(v.text, 0):
			d.fail(v.at, "Not an argument", "%s has a zero byte, which no program can be given.", v.show())
			continue
		case i == 0 && strings.ContainsAny(v.text, " \t") && strings.HasPrefix(v.text, "/") && len(items) == 1:
			d.fail(v.at, "Not a program", "%s: no shell splits it. Write the arguments as texts of their own: [%q, ...].", v.show(), strings.Fields(v.text)[0])
			continue
		case i == 0 && !strings.HasPrefix(v.text, "/"):
			d.fail(v.at, "Not a program", "%s: the path of the program is absolute, as in \"/usr/local/bin/program\".", v.show())
			continue
		case i == 0:
			st, err := os.Stat(v.text)
			if d.o.ReadFile == nil && !b.scope.elsewhere && (err != nil || !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0) {
				effect := "nobody is notified"
				if key == "command" {
					effect = "the check fails, and this node owns the addresses only if no other can"
				}
				d.warn(v.at, "Program not there", "%s is no program that can be run. Until it is, %s.", v.show(), effect)
			}
		}
		out = append(out, v.text)
	}
	return out
}
