package admin

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The text format that Prometheus reads, version 0.0.4: for each family
//
//	# HELP name text
//	# TYPE name gauge
//	name{label="value"} 1
const expositionType = "text/plain; version=0.0.4; charset=utf-8"

// family is one metric with all its series.
type family struct {
	kind, name, help string
	samples          []sample
}

// sample is one series. Suffix is the part of a histogram that it is.
type sample struct {
	suffix string
	labels []string // name, value, name, value ...
	value  float64
}

func newFamily(kind, name, help string) *family { return &family{kind: kind, name: name, help: help} }

// gauge goes up and down.
func gauge(name, help string) *family { return newFamily("gauge", name, help) }

// counter only rises.
func counter(name, help string) *family { return newFamily("counter", name, help) }

// add gives the series with these labels its value.
func (f *family) add(value float64, labels ...string) { f.addAs("", value, labels...) }

func (f *family) addAs(suffix string, value float64, labels ...string) {
	f.samples = append(f.samples, sample{suffix, labels, value})
}

// expose writes families in the order given.
func expose(families []*family) []byte {
	// Values may hold any byte that a configuration or a release's name may; the format escapes three.
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	var b []byte
	for _, f := range families {
		b = fmt.Appendf(b, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, f.kind)
		for _, s := range f.samples {
			b = append(append(b, f.name...), s.suffix...)
			for i := 0; i < len(s.labels); i += 2 {
				before := byte(',')
				if i == 0 {
					before = '{'
				}
				b = fmt.Appendf(append(b, before), `%s="%s"`, s.labels[i], escape.Replace(strings.ToValidUTF8(s.labels[i+1], "?")))
			}
			if len(s.labels) > 0 {
				b = append(b, '}')
			}
			b = append(append(append(b, ' '), number(s.value)...), '\n')
		}
	}
	return b
}

// number writes a value so that it is read back as the same.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func sorted(m map[string]uint64) []string { return slices.Sorted(maps.Keys(m)) }
