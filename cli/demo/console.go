package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// console is the terminal: one line for each event, and between them one a second with who has answered.
type console struct {
	mu      sync.Mutex // guards what follows
	out     io.Writer
	recent  strings.Builder // who answered since the last line
	printed time.Time
	total   [4]int // by number; [0] is failed
}

func newConsole(out io.Writer) *console { return &console{out: out, printed: time.Now()} }

const help = `k1 kills server 1   r1 revives it   d1 drains it   y1 makes it ready   (also 2 and 3)
f shows the file    h this help     q ends
`

func (c *console) welcome(d *demo, socket string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.out, "Three small site servers and a balancer, all in this process:\n\n  %s   the site, by the balancer: open it in a browser\n", d.url)
	for _, s := range d.sites {
		fmt.Fprintf(c.out, "  http://%s   server %d, %q\n", s.address, s.number, s.name)
	}
	fmt.Fprintf(c.out, "\nThe balancer reads this file:\n\n%s\n", indent(d.file))
	fmt.Fprintf(c.out, "In another terminal:\n\n  skein status --watch --socket %s\n\nHere, each with Enter:\n\n%s\n", socket, indent(help))
}

func (c *console) goodbye() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line()
	fmt.Fprintf(c.out, "ended: server 1 answered %d, 2 %d, 3 %d; %d failed\n", c.total[1], c.total[2], c.total[3], c.total[0])
}

// answered notes who answered the visitor.
func (c *console) answered(number int) { c.note(number, fmt.Sprint(number)) }

// failed notes that the visitor got no answer, or an error's.
func (c *console) failed(err error) {
	c.event("a request FAILED: %v", err)
	c.note(0, "!")
}

func (c *console) note(number int, sign string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total[number]++
	c.recent.WriteString(sign + " ")
	if time.Since(c.printed) >= time.Second {
		c.line()
	}
}

// line prints who answered since the last line. mu is held.
func (c *console) line() {
	if c.recent.Len() > 0 {
		fmt.Fprintf(c.out, "%s  answers by %-22s 1: %d  2: %d  3: %d  failed: %d\n",
			time.Now().Format(time.TimeOnly), c.recent.String(), c.total[1], c.total[2], c.total[3], c.total[0])
	}
	c.recent.Reset()
	c.printed = time.Now()
}

// event prints one line at once.
func (c *console) event(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line()
	fmt.Fprintf(c.out, "%s  * %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func (c *console) say(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprint(c.out, text)
}

// engineLog prints the engine's log for people.
func (c *console) engineLog() io.Writer { return logWriter{c} }

type logWriter struct{ c *console }

// Write takes one line of the text log. The engine's handler writes each record by one call.
func (w logWriter) Write(b []byte) (int, error) {
	line := strings.TrimSpace(string(b))
	if i := strings.Index(line, "msg="); i >= 0 { // time and level are not worth the width
		line = line[i+len("msg="):]
	}
	if msg, err := quotedPrefix(line); err == nil {
		line = msg
	}
	w.c.event("skein: %s", line)
	return len(b), nil
}

// quotedPrefix takes the quotes off the message at the beginning.
func quotedPrefix(s string) (string, error) {
	d := json.NewDecoder(strings.NewReader(s))
	var msg string
	if err := d.Decode(&msg); err != nil {
		return "", err
	}
	return msg + s[d.InputOffset():], nil
}

// obey carries out what is typed.
func (d *demo) obey(ctx context.Context, in io.Reader, quit func()) {
	verbs := map[string]string{"k": "kill", "r": "revive", "d": "drain", "y": "ready"}
	lines := bufio.NewScanner(in)
	for lines.Scan() && ctx.Err() == nil {
		word := strings.ToLower(strings.Join(strings.Fields(lines.Text()), ""))
		switch {
		case word == "":
		case word == "q":
			quit()
			return
		case word == "f":
			d.console.say(d.file)
		case verbs[word[:1]] != "" && len(word) > 1:
			if err := d.act(ctx, verbs[word[:1]], word[1:]); err != nil {
				d.console.event("%v", err)
			}
		default:
			d.console.say(help)
		}
	}
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") + "\n"
}
