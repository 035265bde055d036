package admin

import (
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
)

// processFamilies are the metrics of the process itself, with the names that every Prometheus dashboard knows.
func processFamilies() []*family {
	var f []*family
	one := func(g *family, v float64) {
		g.add(v)
		f = append(f, g)
	}
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) == nil {
		seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
		one(counter("process_cpu_seconds_total", "CPU time used."), seconds(use.Utime)+seconds(use.Stime))
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		one(gauge("process_max_fds", "File descriptors that may be open."), float64(limit.Cur))
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		one(gauge("process_open_fds", "File descriptors that are open."), float64(len(open)-1)) // the directory's own
	}
	if pages, ok := residentPages(); ok {
		one(gauge("process_resident_memory_bytes", "Memory in use."), pages*float64(os.Getpagesize()))
	}
	one(gauge("go_goroutines", "Goroutines."), float64(runtime.NumGoroutine()))
	heap := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(heap)
	one(gauge("go_memstats_heap_alloc_bytes", "Heap in use."), value(heap[0]))
	one(counter("go_gc_cycles_total_gc_cycles_total", "Collections."), value(heap[1]))
	one(counter("go_gc_heap_allocs_bytes_total", "Bytes allocated on the heap."), value(heap[2]))
	return f
}

func value(s metrics.Sample) float64 {
	if s.Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return float64(s.Value.Uint64())
}

// residentPages is the second field of /proc/self/statm (proc(5)).
func residentPages() (float64, bool) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, false
	}
	n, err := strconv.ParseFloat(fields[1], 64)
	return n, err == nil
}
