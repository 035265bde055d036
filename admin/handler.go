package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"strings"
)

// handler is the API. Without steer, what changes anything is refused with a word about the socket.
func (a *Admin) handler(steer bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", a.healthz)
	mux.HandleFunc("GET /api/v1/status", a.status)
	mux.Handle("GET /metrics", a.metrics())
	for path, h := range map[string]func(http.ResponseWriter, *http.Request) (any, error){
		"/api/v1/drain":  a.drain,
		"/api/v1/ready":  a.ready,
		"/api/v1/reload": a.reload,
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			if !steer {
				fail(w, http.StatusForbidden, "this listener only reads", "use the unix socket "+a.socketPath())
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			answer, err := h(w, r)
			if err != nil {
				var no refusal
				if !errors.As(err, &no) {
					no.status = http.StatusInternalServerError
				}
				fail(w, no.status, err.Error(), no.hint)
				return
			}
			reply(w, http.StatusOK, answer)
		})
	}
	profiles := map[string]http.HandlerFunc{
		"/debug/pprof/":        pprof.Index,
		"/debug/pprof/cmdline": pprof.Cmdline,
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol":  pprof.Symbol,
		"/debug/pprof/trace":   pprof.Trace,
	}
	for path, h := range profiles {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if !a.pprof.Load() {
				fail(w, http.StatusNotFound, "profiles are off", "set pprof = true in the admin block")
				return
			}
			h(w, r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, fmt.Sprintf("no such path: %s", r.URL.Path), "")
	})
	return mux
}

func (a *Admin) socketPath() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.opened.socketPath
}

// healthz is for whatever asks whether this node should get visitors.
func (a *Admin) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := a.sources.Serving(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

// Failure is the body of every answer that is not a success.
type Failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// refusal is an error with the status that it is answered with.
type refusal struct {
	status int
	err    error
	hint   string
}

func (r refusal) Error() string { return r.err.Error() }
func (r refusal) Unwrap() error { return r.err }

func refuse(status int, hint, format string, args ...any) error {
	return refusal{status, fmt.Errorf(format, args...), hint}
}

func fail(w http.ResponseWriter, status int, text, hint string) {
	reply(w, status, Failure{text, hint})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the caller has gone
}

// decode reads a JSON body into v. An empty body is an empty object.
func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "", "read body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if d.More() {
		return refuse(http.StatusBadRequest, "", "read body: something follows the JSON value")
	}
	return nil
}
