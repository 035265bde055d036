package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// family is one metric with all its series, as read from the places that count.
type family struct {
	kind       prometheus.ValueType
	name, help string
	labels     []string // names, the same for every series
	series     []series
}

// series is one set of label values with its value, or with its histogram.
type series struct {
	values  []string
	value   float64
	count   uint64 // of a histogram
	sum     time.Duration
	buckets map[float64]uint64 // upper bound in seconds -> observations at most that long; nil for no histogram
}

// gauge goes up and down.
func gauge(name, help string, labels ...string) *family {
	return &family{kind: prometheus.GaugeValue, name: name, help: help, labels: labels}
}

// counter only rises.
func counter(name, help string, labels ...string) *family {
	return &family{kind: prometheus.CounterValue, name: name, help: help, labels: labels}
}

// add gives the series with these label values its value.
func (f *family) add(value float64, values ...string) {
	f.series = append(f.series, series{values: values, value: value})
}

// addHistogram gives the series with these label values its observations.
func (f *family) addHistogram(count uint64, sum time.Duration, buckets map[float64]uint64, values ...string) {
	f.series = append(f.series, series{values: values, count: count, sum: sum, buckets: buckets})
}

// Describe implements [prometheus.Collector]. It names nothing in advance: pools and members come and go with reloads.
func (a *Admin) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (a *Admin) Collect(out chan<- prometheus.Metric) {
	for _, f := range a.families() {
		desc := prometheus.NewDesc(f.name, f.help, f.labels, nil)
		for _, s := range f.series {
			for i, v := range s.values {
				s.values[i] = strings.ToValidUTF8(v, "?")
			}
			m, err := prometheus.NewConstMetric(desc, f.kind, s.value, s.values...)
			if s.buckets != nil {
				m, err = prometheus.NewConstHistogram(desc, s.count, s.sum.Seconds(), s.buckets, s.values...)
			}
			if err != nil {
				m = prometheus.NewInvalidMetric(desc, fmt.Errorf("metric %s: %w", f.name, err))
			}
			out <- m
		}
	}
}

func sorted(m map[string]uint64) []string { return slices.Sorted(maps.Keys(m)) }
