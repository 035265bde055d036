package http2

import "sync"

// Workers are goroutines that wait for work, so that the stacks which handlers have grown serve the next request, too; and
// the buffers that busy connections share. Connections share one Workers.
type Workers struct {
	max int

	mu     sync.Mutex // guards what follows
	idle   []*worker  // last in, first out: the warmest is taken
	closed bool

	streams, reads, chunks, outs sync.Pool
}

// job is what a worker runs: a [Stream] with its handler, or a writer.
type job interface{ run() }

type worker struct{ jobs chan job }

// NewWorkers keeps up to keep goroutines that have nothing to do. More run when there is more to do.
func NewWorkers(keep int) *Workers {
	return &Workers{
		max:     keep,
		streams: sync.Pool{New: func() any { return new(Stream) }},
		reads:   sync.Pool{New: func() any { return new([readSize]byte) }},
		chunks:  sync.Pool{New: func() any { return new(chunk) }},
		outs:    sync.Pool{New: func() any { return new([]byte) }},
	}
}

// Close ends the goroutines that wait, and the others when they have nothing to do.
func (w *Workers) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, k := range w.idle {
		close(k.jobs)
	}
	w.idle = nil
}

// Dismiss lets half of the goroutines go that wait for work: after a crowd of visitors they would stay for nothing.
func (w *Workers) Dismiss() {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := (len(w.idle) + 1) / 2 // the coldest
	for _, k := range w.idle[:n] {
		close(k.jobs)
	}
	rest := copy(w.idle, w.idle[n:])
	clear(w.idle[rest:])
	w.idle = w.idle[:rest]
}

// do runs j on another goroutine. It never waits.
func (w *Workers) do(j job) {
	w.mu.Lock()
	if n := len(w.idle); n > 0 {
		k := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		k.jobs <- j
		return
	}
	w.mu.Unlock()
	go w.work(j)
}

func (w *Workers) work(j job) {
	k := &worker{jobs: make(chan job, 1)}
	for ok := true; ok; {
		j.run()
		j = nil // what has been done must not be kept alive by waiting
		if !w.rest(k) {
			return
		}
		j, ok = <-k.jobs
	}
}

func (w *Workers) rest(k *worker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) >= w.max {
		return false
	}
	w.idle = append(w.idle, k)
	return true
}
